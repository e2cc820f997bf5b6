"""How often newcomers are said to have changed: when nothing has, and when something has.

A part of ``benchmarks/analysis.py``. Data are drawn by seed, and go through the same SQL as an
account's.
"""

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from retention import rate  # noqa: E402
from viewing import TEXTS, tables  # noqa: E402

from helpers.core.parameters import Window  # noqa: E402
from helpers.findings.newcomers import compare_newcomers  # noqa: E402
from helpers.store import rules  # noqa: E402

DAYS, DAYS_THEN = 120, 90  # of data at the second run and at the first
BEFORE = 120  # days of viewers before the first day of data: some of them come back
A_DAY = 20  # viewers in the mean
CAMPAIGN = 30  # viewers who come on one day
LEVEL = 0.05
KINDS = pd.DataFrame(
    {
        "share": [0.07, 0.19, 0.33, 0.15, 0.26],
        "videos": [6, 3, 1, 3, 1],  # watched on the first day
        "percent": [0.9, 0.65, 0.12, 0.25, 0.8],
        "returns": [0.5, 0.4, 0.05, 0.2, 0.2],  # chance of three more videos later
    },
    index=["binge_watchers", "engaged_explorers", "bouncers", "skimmers", "casual_viewers"],
)
LATER = 25  # days until they come back, in the mean
PLANTED = "binge_watchers", "casual_viewers", 0.08  # from the second to the first, of newcomers
SETTINGS = {
    "one by one": 0.0,
    "in campaigns of 30, intraclass 0.05": 0.05,
    "in campaigns of 30, intraclass 0.11": 0.11,
}


def draw_viewers(rng: np.random.Generator, intraclass: float, planted: float) -> pd.DataFrame:
    """Viewers with their day and kind; in campaigns of 30 where there is a correlation in them."""
    size = CAMPAIGN if intraclass else 1
    days = rng.integers(-BEFORE, DAYS, rng.poisson((BEFORE + DAYS) * A_DAY / size))
    shares = KINDS["share"].to_numpy() + np.outer(days >= DAYS_THEN, [planted, 0, 0, 0, -planted])
    if intraclass:
        drawn = rng.standard_gamma(shares * (1 - intraclass) / intraclass)  # a Dirichlet of each
        shares = drawn / drawn.sum(axis=1, keepdims=True)
    limits = np.repeat(shares.cumsum(axis=1)[:, :-1], size, axis=0)
    kinds = (rng.random((len(limits), 1)) > limits).sum(axis=1)
    return pd.DataFrame({"day": np.repeat(days, size), "kind": kinds})


def draw_sessions(rng: np.random.Generator, viewers: pd.DataFrame) -> pd.DataFrame:
    """Sessions of the viewers: on their first day, and of some three more videos later."""
    kinds = KINDS.iloc[viewers["kind"]]
    late = np.flatnonzero(rng.random(len(viewers)) < kinds["returns"].to_numpy())
    first = np.repeat(np.arange(len(viewers)), kinds["videos"])
    who = np.concatenate([first, np.repeat(late, 3)])
    day = viewers["day"].to_numpy()[who] + rng.random(len(who)) * 0.3
    day[len(first) :] += np.repeat(rng.exponential(LATER, len(late)), 3) + 1
    percent = kinds["percent"].to_numpy()[who] + rng.normal(0, 0.06, len(who))
    start = pd.Timestamp("2026-01-01", tz="UTC")
    frame = pd.DataFrame(
        {
            "event_key": np.arange(len(who)),
            "visitor_key": who,
            "media_id": rng.integers(0, 1000, len(who)),
            "received_at": start + pd.to_timedelta(day, unit="D"),
            "percent_viewed": np.clip(percent, 0, 1),
        }
    )
    frame[TEXTS] = None
    return frame[(day >= 0) & (day < DAYS)]


def find_changes(seed: int, intraclass: float, planted: float = 0.0) -> set[str]:
    """Clusters that the second run says have changed."""
    rng = np.random.default_rng(seed)
    sessions = draw_sessions(rng, draw_viewers(rng, intraclass, planted))
    end = date(2026, 1, 1) + timedelta(DAYS - 1)
    window = Window(start=end - timedelta(729), end=end, as_of=end + timedelta(1))
    end_then = end - timedelta(DAYS - DAYS_THEN)
    engine = tables(sessions)
    with engine.connection:
        found = compare_newcomers(engine, rules.load(), window, end_then, min_cell=1).table
    return set(found.loc[found["q_value"] < LEVEL, "cluster"]) if len(found) else set()


def theory(intraclass: float, rounds: int = 2000) -> float:
    """Power of the t test of two shares by days, whose variance leaves each day out in turn."""
    from scipy.stats import nct, t

    rng, tail = np.random.default_rng(0), LEVEL / 2 / len(KINDS)
    days, size = DAYS - DAYS_THEN, CAMPAIGN if intraclass else 1
    share, planted = KINDS.loc[PLANTED[0], "share"], PLANTED[2]
    spread = np.array([p * (1 - p) for p in (share, share + planted)])
    spread *= 1 + (size - 1) * intraclass
    found = []
    for _ in range(rounds):
        came = rng.multinomial(rng.poisson(days * A_DAY / size, 2), np.full(days, 1 / days)) * size
        viewers = came.sum(axis=1, keepdims=True)
        weight = came / viewers
        error = np.sqrt((spread / viewers[:, 0]).sum())
        told = np.sqrt((spread / viewers[:, 0] * (weight / (1 - weight)).sum(axis=1)).sum())
        pairs = (weight / viewers).sum(axis=0)
        freedom = pairs.sum() ** 2 / (pairs**2).sum() - 1
        found.append(nct.sf(t.isf(tail, freedom) * told / error, freedom, planted / error))
    return float(np.mean(found))


def count_changes(seed: int) -> dict[tuple[str, bool], bool]:
    """Of each setting: whether a change is told without one, and the planted one is found."""
    said = {}
    for name, intraclass in SETTINGS.items():
        said[name, False] = bool(find_changes(seed, intraclass))
        said[name, True] = PLANTED[0] in find_changes(seed, intraclass, PLANTED[2])
    return said


def describe(counted: list[dict[tuple[str, bool], bool]]) -> str:
    """The table of what seeds gave, as Markdown."""
    lines = [
        f"{len(counted)} seeds, {A_DAY} new viewers a day in the mean, {DAYS_THEN} days of data at "
        f"the first run and {DAYS} at the second, default window. Some viewers come back and then "
        "are in another cluster, also such as were there before the first day of data.",
        "",
        "| viewers come | nothing has changed: a change is told | binge watchers "
        f"{PLANTED[2] * 100:+.0f} points: found | in theory |",
        "|---|--:|--:|--:|",
    ]
    for name, intraclass in SETTINGS.items():
        told, found = (sum(one[name, planted] for one in counted) for planted in (False, True))
        cells = [name, rate(told, len(counted)), rate(found, len(counted))]
        lines.append(f"| {' | '.join(cells)} | {theory(intraclass):.0%} |")
    return "\n".join(lines)
