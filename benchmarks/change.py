"""How often newcomers are said to have changed: when nothing has, and when something has.

Run ``python benchmarks/change.py [seeds]``; 200 seeds take about ten minutes. It writes
``benchmarks/change.md``. Data are drawn by seed, and go through the same SQL as an account's.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

SEEDS = 200
DAYS, DAYS_THEN = 120, 90  # of data at the second run and at the first
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
PLANTED = "binge_watchers", "casual_viewers", 0.08  # from the second to the first, of newcomers


def draw_viewers(rng: np.random.Generator, intraclass: float, planted: float) -> pd.DataFrame:
    """Viewers with their day and kind; in campaigns of 30 where there is a correlation in them."""
    size = CAMPAIGN if intraclass else 1
    days = rng.integers(0, DAYS, rng.poisson(DAYS * A_DAY / size))
    groups = []
    for day in days:
        shares = KINDS["share"].to_numpy()
        if day >= DAYS_THEN:
            shares = shares + planted * np.array([1, 0, 0, 0, -1])
        if intraclass:
            shares = rng.dirichlet(shares * (1 - intraclass) / intraclass)
        groups.append(rng.choice(len(KINDS), size, p=shares))
    return pd.DataFrame({"day": np.repeat(days, size), "kind": np.concatenate(groups)})


def draw_sessions(rng: np.random.Generator, viewers: pd.DataFrame) -> pd.DataFrame:
    """Sessions of the viewers: on their first day, and of some three more videos later."""
    kinds = KINDS.iloc[viewers["kind"]]
    late = rng.random(len(viewers)) < kinds["returns"].to_numpy()
    who = np.concatenate([np.repeat(np.arange(len(viewers)), kinds["videos"]),
                          np.repeat(np.flatnonzero(late), 3)])  # fmt: skip
    first = int(kinds["videos"].sum())
    day = viewers["day"].to_numpy()[who].astype(float) + rng.random(len(who)) * 0.3
    day[first:] += rng.exponential(25, len(who) - first) + 1
    percent = kinds["percent"].to_numpy()[who] + rng.normal(0, 0.06, len(who))
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(day, unit="D")
    frame = pd.DataFrame(
        {
            "event_key": [f"e{n}" for n in range(len(who))],
            "visitor_key": [f"p{n}" for n in who],
            "media_id": [f"v{n}" for n in rng.integers(0, 1000, len(who))],
            "received_at": at,
            "percent_viewed": np.clip(percent, 0, 1),
        }
    )
    return frame[day < DAYS]


def compare(seed: int, intraclass: float, planted: float = 0.0) -> pd.DataFrame:
    """The table of the second run."""
    from viewing import TEXTS, tables

    from helpers.core.parameters import Window
    from helpers.findings.newcomers import compare_newcomers
    from helpers.store import rules

    rng = np.random.default_rng(seed)
    sessions = draw_sessions(rng, draw_viewers(rng, intraclass, planted))
    sessions[TEXTS] = None
    end = date(2026, 1, 1) + timedelta(DAYS - 1)
    window = Window(end - timedelta(729), end, end + timedelta(1))
    end_then = end - timedelta(DAYS - DAYS_THEN)
    engine = tables(sessions)
    with engine.connection:
        return compare_newcomers(engine, rules.load(), window, end_then, {}, min_cell=1).table


def theory(intraclass: float, planted: float) -> float:
    """Power of the t test of two shares with the variance that campaigns have, on their days."""
    from scipy.stats import nct, t

    days = DAYS - DAYS_THEN
    design = 1 + (CAMPAIGN - 1) * intraclass
    share = KINDS.loc[PLANTED[0], "share"]
    variance = sum(p * (1 - p) for p in (share, share + planted)) * design / (days * A_DAY)
    groups = days * A_DAY / (CAMPAIGN if intraclass else 1)
    effective = days / (1 + days / groups)  # of groups that fall on days at random
    limit = t.isf(LEVEL / 2 / len(KINDS), effective - 1)
    return float(nct.sf(limit, effective - 1, planted / np.sqrt(variance)))


def main(seeds: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    lines = [
        "# Change among newcomers",
        "",
        f"Made by `benchmarks/change.py`: {seeds} seeds each, {A_DAY} viewers a day in the mean, "
        f"{DAYS_THEN} days of data at the first run and {DAYS} at the second, default window. Some "
        "viewers come back and then are in another cluster.",
        "",
        "| viewers come | nothing has changed: a change is told | 95 % interval | binge watchers "
        f"{PLANTED[2] * 100:+.0f} points: found | in theory |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, intraclass in (
        ("one by one", 0.0),
        ("in campaigns of 30, intraclass 0.05", 0.05),
        ("in campaigns of 30, intraclass 0.11", 0.11),
    ):
        false = [compare(n, intraclass) for n in range(seeds)]
        true = [compare(n, intraclass, PLANTED[2]) for n in range(seeds)]
        told = sum(bool((table["q_value"] < LEVEL).any()) for table in false if len(table))
        found = np.mean([(table.set_index("cluster")["q_value"] < LEVEL)[PLANTED[0]]
                         for table in true if len(table)])  # fmt: skip
        low, high = proportion_confint(told, seeds, method="wilson")
        lines.append(
            f"| {name} | {told / seeds:.1%} | {low:.1%} to {high:.1%} | {found:.0%} "
            f"| {theory(intraclass, PLANTED[2]):.0%} |"
        )
        print(lines[-1], flush=True)
    (HERE / "change.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
