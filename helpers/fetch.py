"""Stage 01: everything the account's store lacks, from Wistia."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from helpers.core import clock
from helpers.core.errors import AccessError, ServiceError
from helpers.core.progress import progress
from helpers.run import Run
from helpers.store import engine, shards
from helpers.store.store import MEDIAS, Store
from helpers.wistia.client import Wistia
from helpers.wistia.paging import Crawl, Workers
from helpers.wistia.sessions import SETTLES, SessionReader
from helpers.wistia.visitors import sweep

MEMORY_LIMIT = "256MB"
"""For the engine while fetching: what is sorted and compared there spills to disk."""

PASS_HOURS = 24


class Fetched:
    """What a fetch did. Shows itself as one line about the store, the same on every run.

    Attributes
    ----------
    facts : dict
        requests, retries, throttled, seconds, and what became of sessions, visitors and medias.
    """

    def __init__(self, facts: dict[str, Any], line: str):
        self.facts, self._line = facts, line

    def __repr__(self) -> str:
        return self._line

    @property
    def details(self) -> pd.DataFrame:
        """Every fact of this fetch; differs from run to run."""
        flat = pd.json_normalize(self.facts, sep=" ").iloc[0].rename("value")
        return flat.rename_axis("fact").to_frame()


def everything(run: Run) -> Fetched:
    """Bring the account's store up to date for the run's window.

    Closed days are read once, and again while sessions may still be added to them (three days);
    visitors until the last known activity, or all of them with ``full_sweep``. What was fetched
    before an error is kept, and a killed fetch goes on where it stopped.

    Parameters
    ----------
    run : Run
        Its window, account and services; facts go to its run.json.

    Returns
    -------
    Fetched

    Raises
    ------
    AccessError
        Wistia refuses the token, or it may not read stats.
    ServiceError
        Wistia failed, or the disk is full.
    DataError
        Sessions broke a rule (percent_viewed outside 0 to 1, an id that is no text), or the store
        has another schema.
    ParameterError
        The store was filled from another address.
    LockError
        Another run works on the account.

    References
    ----------
    Wistia Stats API, List Events and List Visitors; Data API, List Medias.
    """
    store = run.store
    with store.lock(), _disk_errors(store):
        store.open(run.source.wistia_identity(run.settings))
        address, token = run.wistia_address()
        wistia = Wistia(address, token, per_minute=run.settings.requests_per_minute)
        fetch = _Fetch(run, wistia)
        try:
            fetch.everything()
        finally:
            wistia.close()
            store.tidy()
            fetch.record()
        run.forget_tables()
        run._fetched = None
        counts = _counts(run)
    run.record(
        counts={key: counts[key] for key in ("visitors", "sessions")},
        repeated_rows=counts["repeated_rows"],
    )
    return Fetched(fetch.facts, _line(counts, fetch.facts))


class _Fetch:
    """One fetch: its pass, its window, its facts."""

    def __init__(self, run: Run, wistia: Wistia):
        self.run, self.store, self.wistia = run, run.store, wistia
        window = run.window
        sandbox = run.source.wistia == "sandbox"  # whose calendar stands still
        self.today = window.as_of if sandbox else clock.today()
        self.reference = min(self.today, window.as_of)
        self.facts: dict[str, Any] = {}
        self.connection = engine.connect(run.settings.memory_limit, run.store.folder / ".spill")
        self.connection.execute(f"SET memory_limit = '{run.settings.memory_limit or MEMORY_LIMIT}'")
        self.state = self._begin_pass()

    def everything(self) -> None:
        self.wistia.scopes()
        self._sessions()
        self._visitors()
        self._medias()
        self._retain()
        self.state["pass"]["done"] = True
        self.store.save_state(self.state)

    def record(self) -> None:
        """Facts into run.json, also those of a fetch that failed."""
        counts = self.wistia.client.counts
        self.facts |= counts
        sessions = self.facts.get("sessions", {})
        dropped = self.facts["dropped_rows"] = {
            "erased people": sessions.get("erased", 0),
            "outside the window": sessions.get("outside", 0),
            "read twice while pages moved": sessions.get("repeated", 0),
        }
        self.run.record(
            requests=counts["requests"],
            retries=counts["retries"],
            dropped_rows=sum(dropped.values()),
            fetch=self.facts,
        )

    def _begin_pass(self) -> dict[str, Any]:
        """Go on with a pass that was cut off lately, else begin one.

        The days and lists that a pass has read, it does not read again.
        """
        state, window = self.store.state(), self.run.window.as_dict()
        now, known = clock.now(), state.get("pass", {})
        if not known.get("done", True) and known["window"] == window:
            age = now - datetime.fromisoformat(known["started_at"])
            if timedelta(0) <= age < timedelta(hours=PASS_HOURS):
                return state
        state["pass"] = {
            "number": known.get("number", 0) + 1,
            "started_at": now.isoformat(),
            "window": window,
            "done": False,
            "lists": [],
        }
        self.store.save_state(state)
        return state

    def _list_is_done(self, name: str) -> bool:
        return name in self.state["pass"]["lists"]

    def _list_done(self, name: str) -> None:
        self.state["pass"]["lists"].append(name)
        self.store.save_state(self.state)

    @property
    def _oldest_kept(self) -> date:
        days = self.run.settings.retention_days
        return self.reference - timedelta(days=days) if days else date.min

    def _sessions(self) -> None:
        window = self.run.window
        # A given date is never clamped; a window of the kit's own making ends where retention does.
        start = window.start
        if not self.run.params.start_date:
            start = max(start, self._oldest_kept)
        reader = SessionReader(
            self.wistia,
            self.store,
            self.connection,
            pass_number=self.state["pass"]["number"],
            today=self.today,
            recent=self.reference - SETTLES,
        )
        self.facts["sessions"] = reader.facts
        with progress("sessions", "day", len(reader.todo(start, window.end))) as bar:
            reader.on_day = bar.update
            reader.read(start, window.end)

    def _visitors(self) -> None:
        known, full = self.state.get("visitors", {}), bool(self.run.params.full_sweep)
        if self._list_is_done("visitors") and self.store.visitors_path.exists() and not full:
            self.facts["visitors"] = {**known, "pages": 0, "read_earlier_in_this_pass": True}
            return
        mark = known.get("known_until") if self.store.visitors_path.exists() else None
        with progress("visitors", "page") as bar:
            self.facts["visitors"] = {"complete": False}
            self.facts["visitors"] = sweep(
                self.wistia,
                self.store,
                self.connection,
                known_until=datetime.fromisoformat(mark) if mark and not full else None,
                on_page=bar.update,
            )
        self.state["visitors"] = self.facts["visitors"]
        self._list_done("visitors")

    def _medias(self) -> None:
        if self._list_is_done("medias") and self.store.medias_path.exists():
            return
        try:
            with Workers() as workers:
                crawl = Crawl(workers, self.wistia.medias, lambda page: page.is_empty)
                tables = [page.table for _, page in crawl]
        except AccessError:
            self.facts["medias"] = {"readable": False}
            return
        table = pa.concat_tables([MEDIAS.empty_table(), *tables])
        first = pd.Series(table["media_id"].to_pylist(), dtype=object).drop_duplicates().index
        self.store.replace(self.store.medias_path, table.take(first.to_numpy(dtype="int64")))
        self.facts["medias"] = {"readable": True, "rows": len(first), "pages": len(tables)}
        self._list_done("medias")

    def _retain(self) -> None:
        window = self.run.window
        keep = (window.start, window.end) if self.run.params.start_date else (date.max,) * 2
        gone = self.facts["days_let_go"] = self.store.drop_days(self._oldest_kept, keep=keep)
        if gone or not (self.run.settings.dask or self.run.settings.shards):
            shards.remove(self.run.settings, self.store)  # copies of rows outlive no row


@contextlib.contextmanager
def _disk_errors(store: Store) -> Iterator[None]:
    try:
        yield
    except (OSError, duckdb.Error) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if not full and "No space left" not in str(error):
            raise
        store.tidy()
        raise ServiceError(
            f"The disk that holds the store of account {store.folder.name!r} is full. Every day "
            "fetched whole is kept. Make room, or set VIEWER_PERSONAS_OUTPUTS to another disk, and "
            "run again to go on."
        ) from error


def _tables(run: Run) -> engine.Engine:
    """The store in the engine, nothing of the window left out; the same until the next fetch."""
    known = getattr(run, "_fetched", None)
    if known is None:
        known = run._fetched = engine.over_store(run.settings, run.store, run.window)
    return known


def _counts(run: Run) -> dict[str, Any]:
    window = "day BETWEEN getvariable('window_start') AND getvariable('window_end')"
    row = _tables(run).execute(
        f"""
        SELECT
            (SELECT count(*) FROM visitors) AS visitors,
            (SELECT count(*) FROM visitors WHERE contains(email, '@')) AS identified_visitors,
            count(*) AS sessions,
            count(DISTINCT visitor_key) AS viewers,
            count(DISTINCT media_id) AS videos,
            min(day) AS first_day,
            max(day) AS last_day,
            (SELECT count(*) FROM ranked_repeats WHERE place > 1 AND {window}) AS repeated_rows
        FROM window_sessions
        """
    )
    names = [column[0] for column in row.description]
    return dict(zip(names, row.fetchone(), strict=True))


def _line(counts: dict[str, Any], facts: dict[str, Any]) -> str:
    parts = [
        f"{counts['visitors']:,} visitors in the account, {counts['sessions']:,} sessions of "
        f"{counts['videos']:,} videos in the window"
    ]
    if facts["visitors"].get("order_broken"):
        parts.append("the visitor list was out of order and was read whole")
    if not facts.get("medias", {"readable": True})["readable"]:
        parts.append('no durations and folders: the token lacks "Read all folder and media data"')
    return "; ".join(parts) + "."


def summary(run: Run) -> pd.DataFrame:
    """What stands in the store for the run's window, in one row.

    Returns
    -------
    DataFrame
        visitors, identified_visitors (account-wide), sessions, viewers, videos (in the window,
        repeated event_keys counted once), repeated_rows, first_day, last_day (UTC, with a session).
    """
    counts = _counts(run)
    return pd.DataFrame([counts], columns=list(counts))


def days(run: Run, *, weekly_above: int = 120) -> pd.DataFrame:
    """Sessions and viewers over time, from the store.

    Parameters
    ----------
    run : Run
    weekly_above : int
        Windows of more days are counted by week.

    Returns
    -------
    DataFrame, index ``day`` or ``week`` (its Monday), UTC, none left out between the first and the
    last: sessions, viewers, int64.
    """
    unit = "week" if run.window.days > weekly_above else "day"
    found = _tables(run).execute(
        f"""
        SELECT date_trunc('{unit}', span.day)::DATE AS {unit}, count(event_key) AS sessions,
            count(DISTINCT visitor_key) AS viewers
        FROM (
            SELECT unnest(generate_series(min(day), max(day), INTERVAL 1 DAY))::DATE AS day
            FROM window_sessions
        ) span
        LEFT JOIN window_sessions USING (day)
        GROUP BY ALL ORDER BY ALL
        """
    )
    return found.df().set_index(unit)
