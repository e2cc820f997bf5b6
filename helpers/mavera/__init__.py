"""Mavera: its client, what is sent, what it costs, and what its answers claim."""
