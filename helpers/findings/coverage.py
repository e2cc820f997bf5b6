"""What the data cover and what they cannot tell, in words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pandas as pd

from helpers.core.parameters import Window
from helpers.findings.disclosure import whole_percent
from helpers.findings.section import TOO_FEW, part, people
from helpers.store import engine
from helpers.store.engine import Engine

DATA_CENTRES = (
    r"amazon|\baws\b|google (cloud|llc|one vpn)|microsoft|azure|digital ?ocean|ovh|hetzner|linode|"
    r"akamai|oracle (cloud|corp)|alibaba|tencent|\bm247\b|datacamp|leaseweb|vultr|choopa|constant "
    r"company|contabo|scaleway|clouvider|gthost|cloudflare|\bvpn\b|nordvpn|protonvpn|hosting|"
    r"data ?cent(er|re)|servers?\b|colo(cation|crossing)|hostinger|rackspace|fastly|quadranet"
)
"""Networks that people seldom watch from: clouds, hosters, VPN exits."""


def counts(con: Engine) -> dict[str, int]:
    """Counts of what is there and what is not, of the sessions and viewers of the window.

    Returns
    -------
    dict of int
        sessions, zero_sessions, full_sessions, data_centre_sessions, data_centre_viewers,
        days_with_sessions, sessions_with_length, viewers, anonymous, one_session, without_row,
        identified, emails, without_place, split_people, split_cookies, sessions_without_row.
    """
    con.gather(engine.sql("session_counts"), "counted", {"data_centres": DATA_CENTRES})
    con.gather("SELECT DISTINCT day FROM sessions", "session_days")
    found: dict[str, Any] = {}
    for query in (
        "SELECT count(DISTINCT day) AS days_with_sessions FROM session_days",
        "SELECT sum(COLUMNS(*)) FROM counted",
        engine.sql("viewer_counts"),
    ):
        found |= con.execute(query).df().iloc[0].to_dict()
    return {name: int(value) for name, value in found.items()}


def missing_days(fetched: Iterable[date], window: Window) -> list[date]:
    """Days of the window that the store does not hold, from the first day it does hold."""
    known = set(fetched)
    first = max(min(known, default=window.end + timedelta(1)), window.start)
    days = (first + timedelta(n) for n in range((window.end - first).days + 1))
    return [day for day in days if day not in known]


def coverage(
    con: Engine,
    window: Window,
    titles: dict[str, str],
    *,
    fetched: Iterable[date] | None = None,
) -> dict[str, Any]:
    """The part ``coverage``: a row per limit, with its number and what follows from it.

    Parameters
    ----------
    fetched : iterable of date, optional
        Days that the store holds; None: not known.
    """
    n = counts(con)
    gaps = None if fetched is None else missing_days(fetched, window)
    rows = pd.DataFrame(
        _limits(n, window, gaps), columns=["topic", "count", "of", "share", "meaning"]
    )
    sizes = con.execute("SELECT cluster, count(*) FROM viewers GROUP BY 1").fetchall()
    few = [titles.get(name, name) for name, size in sizes if size < TOO_FEW]
    finding = "No viewer had a session in the window."
    if n["viewers"]:
        finding = (
            f"{whole_percent(n['anonymous'] / n['viewers'])} of {n['viewers']:,} viewers are "
            f"anonymous, and {whole_percent(n['one_session'] / n['viewers'])} have one session."
        )
    note = "A cookie is counted as a viewer: the same person on two devices is two."
    if few:
        note += f" Too few viewers to say much (under {TOO_FEW}): {', '.join(few)}."
    columns = "topic count of share meaning"
    return part(finding, rows, columns, note, too_few=few, days_missing=gaps, **n)


def _limits(n: dict[str, int], window: Window, gaps: list[date] | None) -> list[tuple]:
    def row(topic: str, count: int, of: int, meaning: str) -> tuple:
        return topic, count, of, count / of if of else None, meaning

    rate = n["identified"] / n["emails"] if n["emails"] else None
    split = "Cannot be told: nobody is identified. " if rate is None else (
        f"{people(n['split_people'], 'person', 'people')} came with several; {rate:.2f} cookies an "
        "e-mail, and anonymous viewers will split at least as often. "
    )  # fmt: skip
    rows = [
        row("anonymous viewers", n["anonymous"], n["viewers"],
            "Known by a cookie alone: they can be counted and described, not called."),
        row("viewers with one session", n["one_session"], n["viewers"],
            "Their cluster rests on a single play."),
        row("viewers without a visitor row", n["without_row"], n["viewers"],
            f"{people(n['sessions_without_row'], 'session')}; without a row no name is known."),
        row("identified cookies that share an e-mail", n["split_cookies"], n["identified"],
            split + "A private window makes a new cookie each time and cannot be seen."),
        row("sessions of exactly 0 %", n["zero_sessions"], n["sessions"],
            "Play was pressed and left at once, or the player reported nothing."),
        row("sessions from data centres or VPNs", n["data_centre_sessions"], n["sessions"],
            f"{people(n['data_centre_viewers'])}: bots, monitors, or people behind a VPN."),
        row("sessions of videos of known length", n["sessions_with_length"], n["sessions"],
            "Only these can be judged against what is usual for their length."),
        row("viewers without a place", n["without_place"], n["viewers"],
            "Their country is not known."),
        row("days without a session", window.days - n["days_with_sessions"], window.days,
            "Quiet days, or days before the account's first session."),
    ]  # fmt: skip
    if gaps is not None:
        rows.append(row("days not fetched", len(gaps), window.days,
                        "Days since the first one stored that the store does not hold; "
                        "run 01_fetch again."))  # fmt: skip
    return rows
