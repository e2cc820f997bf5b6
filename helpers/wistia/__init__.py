"""Wistia: its client, its rows, and the readers of its lists.

These names are the door of the room, and all that other rooms use of it: a second video host is a
room with the same ones, beside this one, chosen in ``fetch.host_of``.
"""

from helpers.wistia.client import SHAPES, Wistia as Host
from helpers.wistia.sessions import SETTLES, SessionReader
from helpers.wistia.videos import fetch_engagement, read_medias
from helpers.wistia.visitors import VisitorReader
