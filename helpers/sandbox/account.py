"""A Wistia account as the sandbox holds it: rows in API order, made when somebody asks."""

import itertools
import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from helpers.core.errors import ParameterError

ANONYMOUS = {"name": "", "email": None, "org": {"name": None, "title": None}}


def stamp(seconds: float) -> str:
    """Wistia's way to write a time: ``2026-06-30T23:59:59.000Z``."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def seconds_of(text: object) -> float:
    """Unix seconds of a time as Wistia writes it; minus infinity when it is none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return -math.inf
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def midnight(day: date) -> float:
    """Unix seconds at which a UTC day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


class Table:
    """Rows newest first, beside the few columns that the services filter by.

    Parameters
    ----------
    columns : dict of str to list
        Equally long; ``time`` (Unix seconds, any order) among them, and ``row``: a dict, or a
        number that ``make`` turns into one. Rows of one instant keep their order.
    make : callable, optional
        Row number to row, so that a million rows need not exist at once.
    """

    def __init__(self, columns: dict[str, list], make: Callable[[int], dict] | None = None):
        order = sorted(range(len(columns["time"])), key=lambda at: -columns["time"][at])
        self.columns = {name: [column[at] for at in order] for name, column in columns.items()}
        self._make = make

    def __len__(self) -> int:
        return len(self.columns["time"])

    def __getitem__(self, at: int) -> dict:
        row = self.columns["row"][at]
        return row if isinstance(row, dict) else self._make(row)

    def within(self, first: date | None, last: date | None) -> range:
        """Positions of the rows of two UTC days and all between, both inclusive."""
        newest = self._first_before(midnight(last + timedelta(1))) if last else 0
        oldest = self._first_before(midnight(first)) if first else len(self)
        return range(newest, max(newest, oldest))

    def _first_before(self, moment: float) -> int:
        return bisect_left(self.columns["time"], True, key=lambda time: time < moment)

    def insert(self, **values: object) -> None:
        """Put a row where its time belongs, before others of the same instant."""
        time = values["time"]
        at = bisect_left(self.columns["time"], True, key=lambda t: t <= time)
        for name, column in self.columns.items():
            column.insert(at, values[name])

    def pop(self, at: int) -> None:
        """Take a row out."""
        for column in self.columns.values():
            del column[at]


class Account:
    """Visitors, events and medias of one account.

    Parameters
    ----------
    visitors, events : Table
        Columns visitor_key, name, email, gate (came by an e-mail gate); visitor_key, media_id,
        percent_viewed.
    medias : list of dict
        In the order in which they are listed.
    marks : dict, optional
        Planted seconds by media_id: drops, peaks; see :mod:`helpers.sandbox.engagement`.
    """

    def __init__(
        self, visitors: Table, events: Table, medias: list[dict], marks: dict | None = None
    ):
        self.visitors, self.events, self.medias = visitors, events, medias
        self.marks = marks or {}
        self._plays = itertools.count(1)

    @classmethod
    def of_rows(cls, visitors: Iterable[dict], events: Iterable[dict], medias: Iterable[dict]):
        """An account of rows as the API writes them, in any order, served unchanged."""
        visitors, events = list(visitors), list(events)
        names = ("visitor_key", "media_id", "percent_viewed")
        columns = {name: [row.get(name) for row in events] for name in names}
        columns |= {"time": [seconds_of(row.get("received_at")) for row in events], "row": events}
        people = [_visitor_columns(row) for row in visitors]
        by_name = {name: [person[name] for person in people] for name in _visitor_columns({})}
        return cls(Table(by_name), Table(columns), list(medias))

    @classmethod
    def of_folder(cls, folder: Path):
        """An account of visitors.json, events.json and medias.json; a file not there is empty.

        Raises
        ------
        ParameterError
            There is none of the three, or one is not a JSON array of objects.
        """
        names = ("visitors.json", "events.json", "medias.json")
        if not any((folder / name).is_file() for name in names):
            raise ParameterError(
                f"--data {folder}: none of {', '.join(names)} is there. Give a folder that holds"
                " them, each a JSON array of rows as the API writes them."
            )
        return cls.of_rows(*(_rows(folder / name) for name in names))

    def play(
        self,
        visitor_key: str | None = None,
        media_id: str | None = None,
        *,
        at: float | None = None,
        percent_viewed: float = 0.5,
    ) -> dict:
        """Let a visitor (the least recently active; a new one if unknown) play something now.

        Adds an event and moves the visitor up the list, as the service does while others read.
        """
        newest = self.events.columns["time"][0] if len(self.events) else midnight(date(2026, 6, 30))
        at = newest + 60 if at is None else at
        keys = self.visitors.columns["visitor_key"]
        visitor_key = keys[-1] if visitor_key is None else visitor_key
        event = dict(self.events[self._pattern(visitor_key, media_id)]) if len(self.events) else {}
        media_id = media_id or event.get("media_id") or self.medias[0]["hashed_id"]
        event |= {
            "event_key": f"{int(at) // 1000}_played-{next(self._plays)}-{visitor_key}",
            "received_at": stamp(at),
            "visitor_key": visitor_key,
            "media_id": media_id,
            "percent_viewed": percent_viewed,
        }
        row = {
            "visitor_key": visitor_key,
            "created_at": stamp(at),
            "load_count": 0,
            "play_count": 0,
            "identifying_event_key": None,
            "visitor_identity": ANONYMOUS,
            "user_agent_details": event.get("user_agent_details"),
        }
        if visitor_key in keys:
            row = dict(self.visitors[place := keys.index(visitor_key)])
            self.visitors.pop(place)
        row |= {
            "last_active_at": stamp(max(at, seconds_of(row.get("last_active_at")))),
            "last_event_key": event["event_key"],
            "load_count": row["load_count"] + 1,
            "play_count": row["play_count"] + 1,
        }
        names = ("visitor_key", "media_id", "percent_viewed")
        self.events.insert(time=at, row=event, **{name: event[name] for name in names})
        self.visitors.insert(**_visitor_columns(row))
        return event

    def _pattern(self, visitor_key: str, media_id: str | None) -> int:
        """Position of an event to copy: of the video if one is named, else of the visitor."""
        columns = self.events.columns
        wanted, of = (media_id, "media_id") if media_id else (visitor_key, "visitor_key")
        return columns[of].index(wanted) if wanted in columns[of] else 0


def _visitor_columns(row: dict) -> dict:
    identity = row.get("visitor_identity") or {}
    return {
        "time": seconds_of(row.get("last_active_at")),
        "visitor_key": row.get("visitor_key"),
        "name": str(identity.get("name") or ""),
        "email": str(identity.get("email") or ""),
        "gate": bool(row.get("identifying_event_key")),
        "row": row,
    }


def _rows(file: Path) -> list[dict]:
    if not file.is_file():
        return []
    try:
        rows = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        message = f"{file}: not JSON ({error}). Save the API's answer as it is."
        raise ParameterError(message) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ParameterError(
            f"{file}: not a JSON array of objects. Save the API's answer as it is."
        )
    return rows
