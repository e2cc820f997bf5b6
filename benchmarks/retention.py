"""How often a drop is named where none was planted, and how often a planted one is found.

A part of ``benchmarks/analysis.py``. Plays are simulated by seed (tests/leaving.py).
"""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from helpers.findings.drops import find_drops  # noqa: E402
from tests.leaving import Video, any_video, simulate  # noqa: E402

LENGTHS, PLAYS = (20, 30, 60, 200, 600, 2000), (40, 100, 300, 1000, 5000)
NEAR = 2.0  # seconds between a planted drop and the one that was found
LEAST_THERE = 0.35  # of the plays must still be there when a fifth of them is made to leave


def fixed_rule(curve: pd.DataFrame) -> bool:
    """A fall of ten points within five seconds, anywhere after the opening."""
    watching, cell = curve["plays"].to_numpy(), curve["seconds"].iloc[0]
    first, width = math.ceil(5 / cell), max(1, int(5 / cell))
    return bool((watching[first:-width] - watching[first + width :] >= 0.1 * watching[0]).any())


def drops_of(curve: pd.DataFrame) -> pd.DataFrame:
    plays, rewatches = curve["plays"].to_numpy(), curve["rewatches"].to_numpy()
    return find_drops(plays, rewatches, curve["seconds"].iloc[0])


def still_there(video: Video, second: float) -> float:
    """Share of those who began at the start that is still there at a second."""
    smooth = video.stay ** ((second / video.length) ** video.shape)
    return smooth * (1 - video.bounce * (1 - math.exp(-second / 3)))


def planted_place(rng: np.random.Generator, length: int, plays: int) -> tuple[Video, float]:
    """A video, and a second of it from which a fifth of its plays can leave."""
    while True:
        video, at = any_video(rng, length, plays), rng.uniform(6, length - 6)
        if still_there(video, at + 3) >= LEAST_THERE:
            return video, at


def count_drops(length: int, plays: int, seeds: int) -> dict[str, int]:
    """Of so many videos: named without a drop, by the fixed rule; found where planted."""
    named = fixed = found = 0
    for seed in range(seeds):
        rng = np.random.default_rng([length, plays, seed])
        smooth = simulate(any_video(rng, length, plays), rng)
        named += len(drops_of(smooth)) > 0
        fixed += fixed_rule(smooth)
        video, at = planted_place(rng, length, plays)
        seconds = drops_of(simulate(video, rng, drop_at=at))["second"]
        found += bool((abs(seconds - (at + 1.5)) <= NEAR).any())
    return {"length": length, "plays": plays, "named": named, "fixed": fixed, "found": found}


def rate(counted: int, of: int) -> str:
    low, high = proportion_confint(counted, of, method="wilson")
    return f"{counted / of:.1%} ({low:.1%}–{high:.1%})"


def _table(counts: pd.DataFrame, column: str, seeds: int) -> str:
    plays = sorted(counts["plays"].unique())
    lines = ["| length [s] | " + " | ".join(f"{n:,} plays" for n in plays) + " |"]
    lines.append("|--:|" + "--:|" * len(plays))
    for length, row in counts.pivot(index="length", columns="plays", values=column).iterrows():
        lines.append(f"| {length:,} | " + " | ".join(rate(row[n], seeds) for n in plays) + " |")
    return "\n".join(lines)


def describe(counted: list[dict[str, int]], seeds: int) -> str:
    """The tables of what so many videos each gave, as Markdown."""
    counts = pd.DataFrame(counted)
    many = counts[counts["plays"] >= 100]
    named = rate(counts["named"].sum(), seeds * len(counts))
    fixed = rate(counts["fixed"].sum(), seeds * len(counts))
    found = rate(many["found"].sum(), seeds * len(many))
    return f"""{seeds} simulated videos for each length and number of plays. Viewers leave at random
times by a smooth hazard (early, late, steep, flat, with and without a bounce in the first seconds);
some begin further in, skip a stretch or watch one again.

| | wanted | measured |
|---|--:|--:|
| no drop planted: videos in which one is named | at most 5 % | {named} |
| the same by a fixed rule, ten points in five seconds | – | {fixed} |
| 20 points lost within 3 s, 100 plays or more: found at the middle ± 2 s | 95 % | {found} |

### Named where none was planted

{_table(counts, "named", seeds)}

### The same by the fixed rule

{_table(counts, "fixed", seeds)}

### Found where planted

The loss begins anywhere from 6 seconds after the start to 6 before the end, where {LEAST_THERE:.0%}
of the plays are still there. With 40 plays, 20 points are eight of them: too few to tell from
chance in a short video. From 1,000 seconds on a cell is longer than a second, and so is what ± 2
can mean.

{_table(counts, "found", seeds)}"""
