"""Viewer persona kit: from viewing history to people one can write to."""
