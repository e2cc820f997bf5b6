"""Wistia: its client, its rows, and the readers of its lists."""
