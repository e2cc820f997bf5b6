"""Wistia's Data and Stats API: its lists by the page, a video's figures, the token's scopes."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from helpers.core.errors import AccessError, ServiceError
from helpers.core.fields import Shape
from helpers.core.http import Client
from helpers.wistia import rows
from helpers.wistia.rows import Row, RowProblem

EVENTS_PATH = "/v1/stats/events.json"
VISITORS_PATH = "/v1/stats/visitors.json"
MEDIAS_PATH = "/v1/medias.json"
TOKEN_PATH = "/modern/token"
STATS_PERMISSION = '"Read detailed stats"'
FIRST_PAGE = {"page": 1, "per_page": 100}
SHAPES = {
    TOKEN_PATH: Shape(rows.Token, needed=False),
    EVENTS_PATH: Shape(rows.Session, "[]", FIRST_PAGE, newest_first="received_at"),
    VISITORS_PATH: Shape(rows.Visitor, "[]", FIRST_PAGE, newest_first="last_active_at"),
    MEDIAS_PATH: Shape(rows.Media, "[]", FIRST_PAGE, needed=False),
}
"""What is relied on, by path."""

WORKERS = 30
"""Requests in flight: 18 of 1.8 s each make 600 a minute; the rest make up for slower ones."""


@dataclass(frozen=True)
class Page:
    """One page of a list: its usable rows, in the service's order, and why the others are not."""

    rows: Sequence[Row] = ()
    problems: Sequence[RowProblem] = ()


@contextlib.contextmanager
def side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests; after an error nobody waits for those that are in flight."""
    pool = ThreadPoolExecutor(WORKERS)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Wistia:
    """The Data and Stats API, read-only, for any number of threads.

    Parameters
    ----------
    base_url : str
    token : SecretStr
    per_minute : int
        Requests the account allows a minute, over all its tokens.

    Attributes
    ----------
    per_page : int
        Rows a page; the service caps it at 100 without a word.

    References
    ----------
    Wistia Data API and Stats API: List Events, List Visitors, List Medias, Show Media, Show Media
    Engagement, Show Token.
    """

    per_page = 100

    def __init__(self, base_url: str, token: SecretStr, *, per_minute: int = 600):
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
        scopes = set(rows.parse_row(rows.Token, answer).scopes or ())
        if scopes and not {"stats:read", "all:read"} & scopes:
            what = f"this token may read {', '.join(sorted(scopes))}, but not stats."
            needed = f"a token with the permission {STATS_PERMISSION}"
            remedy = "Make one, set WISTIA_API_TOKEN in .env and run again."
            raise AccessError(what, where="Wistia", expected=needed, remedy=remedy)
        return scopes or None

    def sessions(self, start: date, end: date, first: int = 1) -> Iterator[Page]:
        """Pages, from the one named, of the sessions of these UTC days, inclusive; newest first.

        Rows that come meanwhile push others down, to be met again: page after page none is missed.
        """
        days = {"start_date": f"{start}", "end_date": f"{end}"}
        return self._pages(EVENTS_PATH, rows.Session, first, where=f"{start} to {end}, ", **days)

    def visitors(self, first: int = 1) -> Iterator[Page]:
        """Pages, from the one named, of who ever played, account-wide; newest last_active_at first.

        Whoever plays meanwhile goes to the top: to be met, it must be read again.
        """
        return self._pages(VISITORS_PATH, rows.Visitor, first)

    def medias(self) -> Iterator[Page]:
        """Pages of the account's videos; a stats-only token may not read them (AccessError)."""
        return self._pages(MEDIAS_PATH, rows.Media)

    def media_stats(self, media_id: str) -> rows.MediaStats:
        """Plays, loads and hours watched of a video, for life.

        Raises
        ------
        ServiceError
            There is no such video (`status_code` 404), or Wistia failed.
        DataError
            The answer has another shape.
        """
        return self._object("/v1/stats/medias/{}.json", rows.MediaStats, media_id)

    def engagement(self, media_id: str) -> rows.Engagement:
        """How often each cell of a video was played; fails like :meth:`media_stats`."""
        return self._object("/v1/stats/medias/{}/engagement.json", rows.Engagement, media_id)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _object(self, path: str, model: type[Row], media_id: str) -> Any:
        answer = self.client.get(path.format(quote(media_id, safe="")), expect=dict)
        return rows.parse_row(model, answer)

    def _pages(
        self, path: str, model: type[Row], first: int = 1, *, where: str = "", **query: str
    ) -> Iterator[Page]:
        """Pages until an empty one, which no list goes on after."""
        for number in count(first):
            numbered = {**query, "page": number, "per_page": self.per_page}
            answer = self.client.get(path, numbered, where=f"{where}page {number}")
            if not answer:
                return
            usable, problems = [], []
            for raw in answer:
                try:
                    usable.append(rows.parse_row(model, raw))
                except RowProblem as problem:
                    problems.append(problem)
            yield Page(usable, problems)
