"""Where an account's sessions are asked: all of them in one embedded database."""

from helpers.engine import over_store

__all__ = ["over_store"]
