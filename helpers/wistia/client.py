"""Wistia's lists as tables: the one place where its names and oddities become the kit's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from helpers.core.errors import AccessError, DataError, ServiceError
from helpers.core.http import Client
from helpers.core.privacy import page_of, without_emails
from helpers.store.store import MEDIAS, SESSIONS, VISITORS

EVENTS_PATH = "/v1/stats/events.json"
VISITORS_PATH = "/v1/stats/visitors.json"
MEDIAS_PATH = "/v1/medias.json"
TOKEN_PATH = "/modern/token"
STATS_PERMISSION = '"Read detailed stats"'
STATS_SCOPES = {"stats:read", "all:read"}


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Attributes
    ----------
    number : int
        From 1.
    table : pa.Table
        Its good rows, in the service's order.
    refused : dict
        UTC day -> why a session of that day was refused; empty for other lists.
    """

    number: int
    table: pa.Table
    refused: dict[date, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not len(self.table) and not self.refused


class Wistia:
    """The Data and Stats API, read-only, for any number of threads.

    Parameters
    ----------
    base_url : str
    token : SecretStr
    per_minute : int
        Requests the account allows a minute, over all its tokens.
    per_page : int
        Rows a page; the service caps it at 100 without a word.

    References
    ----------
    Wistia Data API and Stats API: List Events, List Visitors, List Medias, Show Token.
    """

    def __init__(
        self, base_url: str, token: SecretStr, *, per_minute: int = 600, per_page: int = 100
    ):
        self.per_page = per_page
        self.client = Client(
            "Wistia", base_url, token, per_minute=per_minute, permission=STATS_PERMISSION
        )

    def scopes(self) -> set[str] | None:
        """What the token may read; None when the service does not say. A free check.

        Raises
        ------
        AccessError
            The token is good, but may not read stats.
        """
        try:
            answer = self.client.get(TOKEN_PATH, where="scopes", expect=dict, attempts=3)
        except (AccessError, ServiceError):
            return None  # not there, or not for this token: the lists themselves will tell
        found = answer.get("scopes", answer.get("scope"))
        if isinstance(found, str):
            found = found.replace(",", " ").split()
        if not isinstance(found, list) or not all(isinstance(scope, str) for scope in found):
            return None
        if found and not STATS_SCOPES & set(found):
            raise AccessError(
                f"Wistia: this token may read {', '.join(sorted(found))}, but not stats. "
                f"It needs {STATS_PERMISSION}. Make a token that has it, set WISTIA_API_TOKEN in "
                ".env and run again."
            )
        return set(found)

    def sessions(self, page: int, *, start: date, end: date) -> Page:
        """Page of the viewing sessions from `start` to `end`, UTC days, inclusive; newest first.

        Raises
        ------
        DataError
            A row cannot be placed on any day.
        """
        where = f"{start} to {end}, page {page}"
        query = {"start_date": f"{start}", "end_date": f"{end}"}
        refused: dict[date, str] = {}

        def read(row: dict) -> dict | None:
            try:
                return _session(row)
            except _Refused as error:
                day = _time(row.get("received_at"))
                message = (
                    f"Wistia: {error} · event {_shown(row.get('event_key'))}, "
                    f"day {day.date() if day else 'unknown'}, {where}. "
                    f"Expected {error.expected}. {error.remedy}"
                )
                if day is None:
                    raise DataError(message) from None
                refused.setdefault(day.date(), message)
                return None

        table = self._table(EVENTS_PATH, page, query, where, read, SESSIONS)
        return Page(page, table, refused)

    def visitors(self, page: int) -> Page:
        """Page of the people who ever played, account-wide; newest last_active_at first."""
        return Page(page, self._plain(VISITORS_PATH, page, _visitor, VISITORS))

    def medias(self, page: int) -> Page:
        """Page of the account's videos; a stats-only token may not read them (AccessError)."""
        return Page(page, self._plain(MEDIAS_PATH, page, _media, MEDIAS))

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _plain(self, path, page, mapped: Callable, schema: pa.Schema) -> pa.Table:
        where = f"page {page}"

        def read(row: dict) -> dict:
            try:
                return mapped(row)
            except _Refused as error:
                raise DataError(
                    f"Wistia: {error} · GET {path}, {where}. Expected {error.expected}. "
                    f"{error.remedy}"
                ) from None

        return self._table(path, page, {}, where, read, schema)

    def _table(self, path, page, query, where, read, schema) -> pa.Table:
        query = {**query, "page": page, "per_page": self.per_page}
        rows = self.client.get(path, query, where=where)
        if not all(isinstance(row, dict) for row in rows):
            raise DataError(
                f"Wistia: GET {path} ({where}) holds a row that is not an object. Expected a list "
                "of objects. Check that WISTIA_BASE_URL is Wistia's."
            )
        kept = [found for row in rows if (found := read(row)) is not None]
        columns = {name: [row[name] for row in kept] for name in schema.names}
        return pa.table(columns, schema=schema)


class _Refused(Exception):
    """A row that breaks a rule."""

    def __init__(self, what: str, expected: str, remedy: str):
        super().__init__(what)
        self.expected, self.remedy = expected, remedy


def _session(row: dict) -> dict[str, Any]:
    percent = row.get("percent_viewed")
    number = isinstance(percent, int | float) and not isinstance(percent, bool)
    if not number or not 0 <= percent <= 1:
        raise _Refused(
            f"percent_viewed is {_shown(percent)}",
            "a share from 0 to 1",
            "Its unit may have changed, so it is refused rather than rescaled: nothing of that day "
            "is stored, other days are kept. Ask Wistia's support, or look for a newer kit.",
        )
    received = _time(row.get("received_at"))
    if received is None:
        raise _Refused(
            f"received_at is {_shown(row.get('received_at'))}", "a time in ISO 8601", _LOOK
        )
    page, utm = page_of(_text(row.get("embed_url")))
    email = _text(row.get("email"))
    return {
        "event_key": _id(row, "event_key"),
        "visitor_key": _id(row, "visitor_key"),
        "media_id": _id(row, "media_id"),
        "received_at": received,
        "percent_viewed": float(percent),
        "email": email and email.strip(),
        "page": page,
        **utm,
        **{
            name: _label(row.get(name))
            for name in ("media_name", "country", "region", "city", "org", "conversion_type")
        },
        **_device(row),
    }


def _visitor(row: dict) -> dict[str, Any]:
    identity = _object(row.get("visitor_identity"))
    org = _object(identity.get("org"))
    email = _text(identity.get("email"))
    return {
        "visitor_key": _id(row, "visitor_key"),
        "created_at": _time(row.get("created_at")),
        "last_active_at": _time(row.get("last_active_at")),
        "load_count": _count(row.get("load_count")),
        "play_count": _count(row.get("play_count")),
        "name": _text(identity.get("name")),
        "email": email and email.strip(),
        "org_name": _text(org.get("name")),
        "org_title": _text(org.get("title")),
        **_device(row),
    }


def _media(row: dict) -> dict[str, Any]:
    duration = row.get("duration")
    folder = _object(row.get("folder") or row.get("project"))
    number = isinstance(duration, int | float) and not isinstance(duration, bool)
    return {
        "media_id": _id(row, "hashed_id"),
        "name": _label(row.get("name")),
        "duration": float(duration) if number and 0 <= duration < math.inf else None,
        "folder": _label(folder.get("name")),
        "type": _label(row.get("type")),
        "created": _time(row.get("created")),
    }


_LOOK = "The service's format may have changed: nothing was guessed. Look for a newer kit."


def _id(row: dict, name: str) -> str:
    """An id as the text it is; a number may have lost zeros already, so it is no id."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _Refused(f"{name} is {_shown(value)}", "text that is not blank", _LOOK)
    return _clean(value)


def _text(value: Any) -> str | None:
    """Text, or None where it is blank or no text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return _clean(value) if isinstance(value, str) and value.strip() else None


def _label(value: Any) -> str | None:
    """Text that reports show: a title may name the address to write to, and none is kept."""
    return without_emails(_text(value))


def _clean(value: str) -> str:
    """Text that can be stored: JSON may carry half a surrogate pair or a NUL."""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:  # year 1 or 9999, shifted out of the calendar
        return None


def _count(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return value if good else None


def _object(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _device(row: dict) -> dict[str, Any]:
    device = _object(row.get("user_agent_details"))
    mobile = device.get("mobile")
    return {
        "browser": _label(device.get("browser")),
        "platform": _label(device.get("platform")),
        "mobile": mobile if isinstance(mobile, bool) else None,
    }


def _shown(value: Any) -> str:
    return repr(value)[:80]
