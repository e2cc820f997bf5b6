"""What the data cover and what they cannot tell, in words."""

from collections.abc import Iterable
from datetime import date, timedelta

import pandas as pd

from helpers.core.parameters import Window
from helpers.findings.counts import publish_counts, with_share
from helpers.findings.section import Section, make_section
from helpers.store.engine import Engine, sql

EXACT = "identified viewers"  # a total of the account


def describe_coverage(
    engine: Engine, window: Window, min_cell: int, *, fetched: Iterable[date] | None
) -> Section:
    """What the data cover and what they cannot tell: a row per limit.

    Parameters
    ----------
    engine : Engine
        With sessions, viewers, visitors and medias.
    fetched : iterable of date, or None
        Days that the store holds; None: sessions of a file, which tells neither days without
        sessions from missing ones, nor networks.

    Returns
    -------
    Section
        topic, value [published count; days and identified viewers are exact], share (0 to 1 of
        all), meaning. What is hidden has no row, for exact totals would tell some of it.
    """
    # People have cookies in several shards: who is known is asked of the viewers at hand.
    limits = engine.query(sql("viewer_coverage")), engine.counts(sql("session_coverage"))
    frame = pd.concat(limits).sort_values("topic", ignore_index=True)
    known = frame.set_index("topic").loc[EXACT]
    viewers = int(known["total"])
    shown = publish_counts(frame["value"], frame["total"], min_cell)
    frame["value"] = shown.mask(frame["topic"] == EXACT, int(known["value"]))
    if fetched is None:
        frame = frame[~frame["topic"].str.contains("data centres")]
    else:
        meaning = "Days since the first one stored that were not fetched: run 01_fetch again."
        missing = len(missing_days(fetched, window))
        frame.loc[len(frame)] = ["days not fetched", missing, window.days, meaning]
    frame = with_share(frame, "value", "total", interval=False)
    anonymous = 1 - known["value"] / viewers if viewers else None
    once = frame.set_index("topic")["share"]["viewers with one session"]
    words = {"viewers": viewers, "anonymous": anonymous, "once": once}
    return make_section("coverage", frame.dropna(subset="value"), **words)


def missing_days(fetched: Iterable[date], window: Window) -> list[date]:
    """Days of the window that the store does not hold, from the first day it does hold."""
    held = set(fetched)
    first = max(min(held, default=window.end + timedelta(1)), window.start)
    return sorted({day.date() for day in pd.date_range(first, window.end)} - held)
