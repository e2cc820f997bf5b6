"""Stage 01: everything the account's store lacks, from Wistia."""

from contextlib import closing
from datetime import date, datetime, timedelta
from types import ModuleType

import pandas as pd
from pydantic import BaseModel, Field

from helpers import wistia
from helpers.core import clock, files
from helpers.findings.counts import publish_counts, publish_parts
from helpers.findings.section import make_section, to_plain
from helpers.run import Run
from helpers.store import engine, intake, shards
from helpers.store.facts import MediaFacts, SessionFacts, VisitorFacts
from helpers.store.store import Store

WEEKLY_ABOVE = 120  # days of a window

PASS = timedelta(hours=24)
"""A fetch that was cut off goes on for so long; after it, all recent days are read again."""


class Fetched(BaseModel):
    """What a fetch did. Shows itself as one line about the store, the same on every run."""

    sessions: SessionFacts = SessionFacts()
    visitors: VisitorFacts = VisitorFacts()
    medias: MediaFacts = MediaFacts()
    requests: int = 0
    retries: int = 0
    throttled: int = 0  # answers 429 and 503
    days_removed: int = 0  # older than they are kept
    line: str = Field("", exclude=True)

    def __repr__(self) -> str:
        return self.line

    @property
    def dropped_rows(self) -> int:
        """Rows that were read and not stored."""
        return self.sessions.dropped + self.visitors.dropped + self.medias.dropped


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
        store.open(run.source.identity("wistia", run.settings))
        shards.remove(run.settings, store)  # copies of rows outlive no row
        fetched = _import(run) if run.source.wistia == "file" else _fetch(run)
        run.forget_tables()
        counts = summary(run).iloc[0]
    totals = counts[["visitors", "sessions"]].dropna().astype(int).to_dict()
    run.record(counts=totals, repeated_rows=int(counts["repeated_rows"]))
    fetched.line = _line(run, counts, fetched)
    return fetched


def host_of(run: Run) -> ModuleType:
    """The room of the run's video host; a second host is chosen here."""
    return wistia


def open_host(run: Run) -> closing[wistia.Host]:
    """The video host of a run's account, open inside a ``with``."""
    address, token = run.address("wistia")
    return closing(host_of(run).Host(address, token, per_minute=run.settings.requests_per_minute))


def _import(run: Run) -> Fetched:
    """Own sessions in the place of the host's."""
    fetched = Fetched(sessions=intake.import_sessions(run.store, run.params.sessions_file))
    _record(run, fetched)
    return fetched


def _fetch(run: Run) -> Fetched:
    """Sessions, visitors and videos from the host; days that are too old leave."""
    fetched, store, host = Fetched(), run.store, host_of(run)
    progress, window, kept_days = _begin_pass(store), run.window, run.settings.retention_days
    # The sandbox's calendar stands still.
    today = window.as_of if run.source.wistia == "sandbox" else clock.today()
    until = min(today, window.as_of)
    recent, number = until - host.SETTLES, progress.current.number
    oldest = until - timedelta(days=kept_days) if kept_days else date.min
    # A given date is never clamped; a window of the kit's own making ends where retention does.
    start = window.start if run.params.start_date else max(window.start, oldest)
    with open_host(run) as service:
        reader = host.SessionReader(service, store, pass_number=number, recent=recent)
        fetched.sessions = reader.facts
        try:
            service.scopes()
            reader.read(start, min(window.end, today))
            read_all = run.params.full_sweep or not store.visitors_path.exists()
            known = None if read_all else progress.visitors.known_until
            fetched.visitors = progress.visitors = host.VisitorReader(service, store, known).read()
            _save(store, progress)
            fetched.medias = host.read_medias(service, store)
            fetched.days_removed = store.drop_days(oldest, keep=(start, window.end))
            store.settle(recent)
            progress.current.done = True
            _save(store, progress)
        finally:
            store.tidy()
            fetched = fetched.model_copy(update=service.client.counts)
            _record(run, fetched)
    return fetched


def _record(run: Run, fetched: Fetched) -> None:
    """Facts into run.json, also those of a fetch that failed."""
    counts = {"requests": fetched.requests, "retries": fetched.retries}
    run.record(**counts, dropped_rows=fetched.dropped_rows, fetch=fetched.model_dump(mode="json"))


class _Pass(BaseModel):
    """A fetch that may take several runs: the days it has read, it reads no more."""

    number: int = 0
    started_at: datetime | None = None
    done: bool = True


class _Progress(BaseModel):
    """How far fetching got: ``fetch.json`` of the store."""

    current: _Pass = Field(_Pass(), alias="pass")
    visitors: VisitorFacts = VisitorFacts()


def _begin_pass(store: Store) -> _Progress:
    """Go on with the pass that was cut off lately, else begin a new one."""
    progress, now = _Progress.model_validate(files.read_json(store.progress_path)), clock.now()
    last = progress.current
    if last.done or not timedelta(0) <= now - last.started_at < PASS:
        progress.current = _Pass(number=last.number + 1, started_at=now, done=False)
        _save(store, progress)
    return progress


def _save(store: Store, progress: _Progress) -> None:
    files.write_json(store.progress_path, progress.model_dump(mode="json", by_alias=True))


def _line(run: Run, counts: pd.Series, fetched: Fetched) -> str:
    days = run.store.days().items()
    inside = (known for day, known in days if run.window.start <= day <= run.window.end)
    unusable = sum(known.get("unusable", 0) for known in inside) + fetched.visitors.unusable
    sessions, least = to_plain(counts["sessions"]), run.params.min_cell
    words = {"counts": counts, "sessions": sessions, "min_cell": least, "unusable": unusable}
    return make_section("fetched", pd.DataFrame(), fetched=fetched, **words).finding


def _ask_store(run: Run, question: str) -> pd.DataFrame:
    """Ask the store of the window, whichever videos and domains the run leaves out."""
    return engine.over_store(run.settings, run.store, run.window).query(question)


def summary(run: Run) -> pd.DataFrame:
    """What is in the store for the run's window, in one row.

    Returns
    -------
    DataFrame
        visitors, identified_visitors [published count] (account-wide), sessions, viewers [published
        where the run leaves some out], videos (in the window, repeated event_keys counted once),
        repeated_rows, first_day, last_day (UTC, with a session).
    """
    stored = _ask_store(run, engine.sql("stored_summary"))
    identified, least = stored["identified_visitors"], run.params.min_cell
    stored["identified_visitors"] = publish_counts(identified, stored["visitors"], least)
    # Beside the exact totals of stage 02, exact ones would tell how many are left out there.
    if run.params.media_ids or run.params.exclude_domains:
        for name in ("sessions", "viewers"):
            stored[name] = publish_counts(stored[name], stored[name], least, known=False)
    return stored


def days(run: Run) -> pd.DataFrame:
    """Sessions over time, from the store; of windows of over 120 days by week.

    Returns
    -------
    DataFrame, index ``day`` or ``week`` (its Monday), UTC, none left out between the first and the
    last: sessions [published counts]. Viewers beside them would tell some that are hidden.
    """
    unit = "week" if run.window.days > WEEKLY_ABOVE else "day"
    counted = _ask_store(run, engine.sql("stored_days").replace("{unit}", unit)).set_index(unit)
    return counted.apply(lambda counts: publish_parts(counts, counts.sum(), run.params.min_cell))
