"""Stage 01: everything the account's store lacks, from Wistia."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta
from weakref import WeakKeyDictionary

import pandas as pd
from pydantic import BaseModel, Field, computed_field

from helpers.core import clock
from helpers.core.errors import AccessError
from helpers.core.progress import progress
from helpers.run import Run
from helpers.store import duck, engine, intake, shards
from helpers.store.store import MEDIAS
from helpers.wistia.client import IS_EMPTY, Wistia
from helpers.wistia.paging import read_pages
from helpers.wistia.rows import to_table
from helpers.wistia.sessions import SETTLES, SessionFacts, SessionReader
from helpers.wistia.visitors import VisitorFacts, update_visitors

MEMORY_LIMIT = "256MB"
"""For the engine while fetching: the visitors that it holds meanwhile go to disk beyond it."""

PASS = timedelta(hours=24)
"""A fetch that was cut off goes on for so long; after it, all recent days are read again."""


class MediaFacts(BaseModel):
    """What became of the videos."""

    readable: bool = True  # the token may read them
    pages: int = 0
    rows: int = 0
    unusable: int = 0  # without an id


class Fetched(BaseModel):
    """What a fetch did. Shows itself as one line about the store, the same on every run."""

    sessions: SessionFacts = SessionFacts()
    visitors: VisitorFacts = VisitorFacts()
    medias: MediaFacts = MediaFacts()
    requests: int = 0
    retries: int = 0
    throttled: int = 0  # answers 429 and 503
    seconds: float = 0.0  # from the first request to the last answer
    days_removed: int = 0  # older than they are kept
    line: str = Field("", exclude=True)

    def __repr__(self) -> str:
        return self.line

    __str__ = __repr__

    @computed_field
    @property
    def dropped_rows(self) -> dict[str, int]:
        """Rows that were read and not stored, by reason."""
        lists = (self.sessions, self.visitors, self.medias)
        return {
            "erased people": self.sessions.erased,
            "outside the window": self.sessions.outside,
            "read twice while pages moved": self.sessions.repeated,
            "without an id or a time": sum(facts.unusable for facts in lists),
        }

    @property
    def details(self) -> pd.DataFrame:
        """Every fact of this fetch, index ``fact``, column ``value``; differs from run to run."""
        flat = pd.json_normalize(self.model_dump(), sep=" ").iloc[0].rename("value")
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
        Wistia failed.
    OSError
        The disk is full; every day fetched whole is kept.
    DataError
        Sessions broke a rule (percent_viewed outside 0 to 1; over 1 % of a day without id or time),
        or the store has another schema.
    ParameterError
        The store was filled from another address.
    LockError
        Another run is in progress on the account.

    References
    ----------
    Wistia Stats API, List Events and List Visitors; Data API, List Medias.
    """
    store = run.store
    with store.lock():
        store.open(run.source.wistia_identity(run.settings))
        shards.remove(run.settings, store)  # copies of rows outlive no row
        fetched = _import(run) if run.source.wistia == "file" else _fetch(run)
        run.forget_tables()
        _TABLES.pop(run, None)
        counts = summary(run).iloc[0]
    run.record(
        counts={name: int(counts[name]) for name in ("visitors", "sessions")},
        repeated_rows=int(counts["repeated_rows"]),
    )
    fetched.line = _line(run, counts, fetched)
    return fetched


def _fetch(run: Run) -> Fetched:
    address, token = run.wistia_address()
    wistia = Wistia(address, token, per_minute=run.settings.requests_per_minute)
    fetch = _Fetch(run, wistia)
    try:
        fetch.update()
    finally:
        wistia.close()
        run.store.tidy()
        fetch.record()
    return fetch.fetched


def _import(run: Run) -> Fetched:
    """Own sessions in the place of Wistia's."""
    imported = intake.import_sessions(run.store, run.params.sessions_file)
    new = imported.rows if imported.changed else 0
    facts = SessionFacts(rows=imported.rows, new=new, erased=imported.erased)
    fetched = Fetched(sessions=facts)
    run.record(requests=0, retries=0, dropped_rows=imported.erased, fetch=fetched.model_dump())
    return fetched


class _Pass(BaseModel):
    """A fetch that may take several runs: the days and lists it has read, it reads no more."""

    number: int = 1
    started_at: datetime
    window: dict[str, str]
    done: bool = False
    lists: list[str] = []


class _Progress(BaseModel):
    """How far fetching got: ``fetch.json`` of the store."""

    current: _Pass | None = Field(None, alias="pass")
    visitors: VisitorFacts = VisitorFacts()


class _Fetch:
    """One fetch: its pass, its window, its facts."""

    def __init__(self, run: Run, wistia: Wistia):
        self.run, self.store, self.wistia = run, run.store, wistia
        sandbox = run.source.wistia == "sandbox"  # whose calendar stands still
        self.today = run.window.as_of if sandbox else clock.today()
        self.reference = min(self.today, run.window.as_of)
        self.fetched = Fetched()
        self.progress = _Progress.model_validate(self.store.state())
        self.current = self._continue_pass()

    def update(self) -> None:
        self.wistia.scopes()
        self._update_sessions()
        self._update_visitors()
        self._update_medias()
        self._remove_old_days()
        self.current.done = True
        self._save()

    def record(self) -> None:
        """Facts into run.json, also those of a fetch that failed."""
        for name, number in self.wistia.client.counts.items():
            setattr(self.fetched, name, number)
        self.run.record(
            requests=self.fetched.requests,
            retries=self.fetched.retries,
            dropped_rows=sum(self.fetched.dropped_rows.values()),
            fetch=self.fetched.model_dump(),
        )

    def _continue_pass(self) -> _Pass:
        """The pass that was cut off lately over the same window, else a new one."""
        last, window = self.progress.current, self.run.window.as_dict()
        recent = last and timedelta(0) <= clock.now() - last.started_at < PASS
        if recent and not last.done and last.window == window:
            return last
        number = last.number + 1 if last else 1
        self.progress.current = _Pass(number=number, started_at=clock.now(), window=window)
        self._save()
        return self.progress.current

    def _save(self, *lists: str) -> None:
        self.progress.current.lists += lists
        self.store.save_state(self.progress.model_dump(mode="json", by_alias=True))

    @property
    def _oldest_kept(self) -> date:
        days = self.run.settings.retention_days
        return self.reference - timedelta(days=days) if days else date.min

    def _update_sessions(self) -> None:
        window = self.run.window
        # A given date is never clamped; a window of the kit's own making ends where retention does.
        start = window.start
        if not self.run.params.start_date:
            start = max(start, self._oldest_kept)
        reader = SessionReader(
            self.wistia,
            self.store,
            pass_number=self.current.number,
            today=self.today,
            recent=self.reference - SETTLES,
        )
        self.fetched.sessions = reader.facts
        with progress("sessions", "day", len(reader.days_to_read(start, window.end))) as bar:
            reader.on_day = bar.update
            reader.read(start, window.end)

    def _update_visitors(self) -> None:
        there, known = self.store.visitors_path.exists(), self.progress.visitors
        known_until = known.known_until
        if self.run.params.full_sweep or not there:
            known_until = None
        elif "visitors" in self.current.lists:
            self.fetched.visitors = known.model_copy(update={"pages": 0})
            return
        connection = duck.connect(MEMORY_LIMIT, self.store.folder / ".spill")
        with progress("visitors", "page") as bar, contextlib.closing(connection):
            since = known_until and datetime.fromisoformat(known_until)
            visitors = update_visitors(
                self.wistia, self.store, connection, known_until=since, on_page=bar.update
            )
        self.fetched.visitors = self.progress.visitors = visitors
        self._save("visitors")

    def _update_medias(self) -> None:
        if "medias" in self.current.lists and self.store.medias_path.exists():
            return
        try:
            pages = [page for _, page in read_pages(self.wistia.medias, IS_EMPTY)]
        except AccessError:
            self.fetched.medias = MediaFacts(readable=False)
            return
        rows = {row.media_id: row for page in reversed(pages) for row in reversed(page.rows)}
        self.store.replace(self.store.medias_path, to_table(list(rows.values()), MEDIAS))
        unusable = sum(len(page.problems) for page in pages)
        self.fetched.medias = MediaFacts(pages=len(pages) - 1, rows=len(rows), unusable=unusable)
        self._save("medias")

    def _remove_old_days(self) -> None:
        window = self.run.window
        keep = (window.start, window.end) if self.run.params.start_date else (date.max,) * 2
        self.fetched.days_removed = self.store.drop_days(self._oldest_kept, keep=keep)
        self.store.settle(self.reference - SETTLES)


def _line(run: Run, counts: pd.Series, fetched: Fetched) -> str:
    parts = [
        f"{counts['visitors']:,} visitors in the account, {counts['sessions']:,} sessions of "
        f"{counts['videos']:,} videos in the window"
    ]
    days = run.store.days().items()
    inside = (known for day, known in days if run.window.start <= day <= run.window.end)
    unusable = sum(known.get("unusable", 0) for known in inside) + fetched.visitors.unusable
    if unusable:
        parts.append(f"{unusable:,} rows without an id or a time were left out")
    if fetched.visitors.order_broken:
        parts.append("the visitor list was out of order and was read whole")
    if not fetched.medias.readable:
        parts.append('no durations and folders: the token lacks "Read all folder and media data"')
    return "; ".join(parts) + "."


_TABLES: WeakKeyDictionary[Run, engine.Engine] = WeakKeyDictionary()


def _store_tables(run: Run) -> engine.Engine:
    """The store in the engine, nothing of the window left out; the same until the next fetch."""
    if run not in _TABLES:
        _TABLES[run] = engine.over_store(run.settings, run.store, run.window)
    return _TABLES[run]


def summary(run: Run) -> pd.DataFrame:
    """What is in the store for the run's window, in one row.

    Returns
    -------
    DataFrame
        visitors, identified_visitors (account-wide), sessions, viewers, videos (in the window,
        repeated event_keys counted once), repeated_rows, first_day, last_day (UTC, with a session).
    """
    return _store_tables(run).query(engine.sql("stored_summary"))


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
    question = engine.sql("stored_days").replace("{unit}", unit)
    return _store_tables(run).query(question).set_index(unit)
