"""How often each claim of the analysis is made where nothing is, and where something is planted.

Run ``python benchmarks/analysis.py [seeds]``; 400 seeds take about half an hour on two cores. It
writes ``benchmarks/analysis.md``. Sessions are drawn by seed, and go through the same SQL and
findings as an account's. Change among newcomers and drops of a video, which are drawn otherwise,
stand in ``change.py`` and ``retention.py`` and are part of the same run.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

import change  # noqa: E402
import retention  # noqa: E402
from choosing import LEAST, MORE, NAMES, SHARES  # noqa: E402
from scipy.optimize import brentq  # noqa: E402
from scipy.special import betainc  # noqa: E402
from scipy.stats import binom, norm  # noqa: E402
from viewing import TEXTS, drawn, tables  # noqa: E402

from helpers.findings import content, conversions, groups, sources  # noqa: E402
from helpers.findings.preference import LEVEL  # noqa: E402
from helpers.store import rules  # noqa: E402

SEEDS, VIEWERS, VIDEOS, PAGES, DAYS, MIN_CELL = 400, 1247, 40, 8, 60, 10
START = pd.Timestamp("2026-06-01", tz="UTC")
PERCENT = np.array([0.90, 0.65, 0.12, 0.25, 0.68])  # of a viewer of each kind, in the mean
BINGE, EXPLORERS, BOUNCERS, SKIMMERS = range(4)
# What is planted: how many times as likely, or what rate instead of the usual one.
FAVOURITE, FACTOR = 5, 2.0  # a video of the explorers
PAGE_FACTOR = 2.0  # the first page, for explorers
RATE, PLANTED_RATE = 0.10, 0.20  # of viewers who convert, skimmers where planted
SESSION_RATE, PLANTED_SESSIONS = 0.06, 0.12  # the same of sessions
NEXT_FACTOR = 5.0  # the first video, after another one
LONGER = 0.10  # completion of the first video, beyond the usual 50 %
PLANTED = {
    "video": f"a weight {FACTOR:g} times as large, for explorers",
    "page": f"{PAGE_FACTOR:g} times as likely, for explorers",
    "conversion, of viewers": f"{PLANTED_RATE:.0%} of skimmers, {RATE:.0%} of the others",
    "conversion, of sessions": f"{PLANTED_SESSIONS:.0%} of skimmers' sessions, {SESSION_RATE:.0%}",
    "next video": f"one of {VIDEOS} with {NEXT_FACTOR:g} times the weight",
    "completion beside the usual": f"{LONGER * 100:g} points in one of ten videos",
    "natural groups": "four kinds",
}
SESSIONS, AS_PLANTED = "conversion, of sessions", ", by the variance of the planted ones"
RULES = rules.load()


def draw_viewers(rng, *, popularity=1.0, favourite=1.0, first=1.0, page=1.0, campaigns=False):
    """Viewers of one taste but for what is planted: kind, day, page, and videos in order."""
    kind = rng.choice(len(NAMES), VIEWERS, p=SHARES)
    day, came = rng.integers(DAYS, size=VIEWERS), np.zeros(VIEWERS, bool)
    weight = np.tile(-popularity * np.log(np.arange(1, VIDEOS + 1)), (VIEWERS, 1))
    weight[kind == EXPLORERS, FAVOURITE] += np.log(favourite)
    weight[:, 0] += np.log(first)
    order = weight + rng.gumbel(size=weight.shape)  # drawn one by one, none twice
    chances = np.ones((len(NAMES), PAGES)) / PAGES
    chances[EXPLORERS, 0] *= page
    chances /= chances.sum(axis=1, keepdims=True)
    pages = (rng.random(VIEWERS)[:, None] > chances[kind].cumsum(axis=1)).sum(axis=1)
    if campaigns:  # half of the viewers come in groups of 30: one day, one page, one first video
        number = VIEWERS // 60
        group = rng.integers(2 * number, size=VIEWERS)
        came = group < number
        day[came], pages[came] = rng.integers(DAYS, size=number)[group[came]], group[came] % PAGES
        order[came, rng.integers(VIDEOS, size=number)[group[came]]] = np.inf
    count = LEAST[kind] + rng.integers(0, MORE[kind] + 1)
    return pd.DataFrame({"kind": kind, "day": day, "page": pages, "count": count}), order


def draw_sessions(rng, viewers: pd.DataFrame, order: np.ndarray) -> pd.DataFrame:
    """A video a day for each viewer, in order, at any hour."""
    who = np.repeat(np.arange(len(viewers)), viewers["count"])
    place = np.arange(len(who)) - np.repeat(
        viewers["count"].cumsum() - viewers["count"], viewers["count"]
    )
    place = place.to_numpy()
    hour = rng.random(len(who)) * 24
    kind = viewers["kind"].to_numpy()[who]
    at = viewers["day"].to_numpy()[who] + place + hour / 24
    return session_frame(
        rng, who, (-order).argsort(axis=1)[who, place], at,
        PERCENT[kind] + rng.normal(0, 0.02, len(who)), page=viewers["page"].to_numpy()[who],
    )  # fmt: skip


def session_frame(rng, who, video, at, percent, page=None) -> pd.DataFrame:
    frame = pd.DataFrame({"event_key": [f"e{n}" for n in range(len(who))]})
    frame[TEXTS] = None
    frame["visitor_key"] = [f"p{n:05}" for n in who]
    frame["media_id"] = [f"v{n}" for n in video]
    frame["received_at"] = START + pd.to_timedelta(at, unit="D")
    frame["percent_viewed"] = np.clip(percent, 0, 1)
    if page is not None:
        frame["page"] = [f"example.com/{n}" for n in page]
    return frame


# ---- claims: each gives what it names


def named_videos(engine) -> set[tuple[str, str]]:
    table = content.compare_content(engine, RULES, min_cell=MIN_CELL).table
    return set(zip(table["cluster"], table["media_id"], strict=True)) if len(table) else set()


def named_sources(engine) -> set[tuple[str, str]]:
    table = sources.compare_sources(engine, RULES, MIN_CELL).table
    return set(zip(table["cluster"], table["value"], strict=True)) if len(table) else set()


def named_clusters(engine, verdict: str) -> set[str]:
    table = conversions.compare_conversions(engine, RULES, MIN_CELL).table.set_index("cluster")
    return set(table.index[table[verdict].isin(["higher", "lower"])])


def named_next(engine) -> set[str]:
    suggested = content.suggest_next_videos(engine, RULES, MIN_CELL)
    said = content._describe_next(suggested, RULES, MIN_CELL).finding
    return {said.split("“")[1].split("”")[0]} if "“" in said else set()


def named_lengths(engine) -> set[str]:
    table = content.compare_lengths(engine, MIN_CELL).table
    return set(table.loc[table["verdict"] != "as usual", "media_id"])


def named_groups(engine, seed: int) -> set[str]:
    said = groups.find_groups(engine, RULES, MIN_CELL, seed).finding
    return set() if "no clear groups" in said else {said.split(" form ")[1].split()[0]}


# ---- data, a seed each


def with_clicks(rng, sessions, kind, rate, planted, *, by_session: bool) -> pd.DataFrame:
    """Clicks: of viewers, on one session each, or of sessions, where some viewers click more."""
    who = sessions["visitor_key"].str[1:].astype(int).to_numpy()
    rates = np.where(kind == SKIMMERS, planted, rate)
    if by_session:  # a beta distribution over viewers: the sessions of one hang together
        clicked = rng.random(len(who)) < rng.beta(rates * 5, (1 - rates) * 5)[who]
    else:
        first = np.concatenate([[True], who[1:] != who[:-1]])
        clicked = first & (rng.random(len(kind)) < rates)[who]
    return sessions.assign(conversion_type=np.where(clicked, "annotation click", None))


def draw_lengths(rng, longer: float) -> pd.DataFrame:
    """One population: each session watched by itself and by its viewer's own patience, 50 %."""
    count = rng.geometric(1 / 3, 600)
    who = np.repeat(np.arange(600), count)
    video = rng.integers(0, 10, len(who))
    percent = rng.beta(0.5, 0.5, len(who))
    patience = np.clip(rng.normal(0.5, 0.2, 600), 0, 1)[who]
    percent = np.where(rng.random(len(who)) < 0.3, patience, percent)
    percent[(video == 0) & (rng.random(len(who)) < 2 * longer)] = 1
    return session_frame(rng, who, video, rng.random(len(who)) * 28, percent)


def measure(seed: int) -> dict[str, bool]:
    """What is named, by claim: falsely where nothing is, truly where something is planted."""
    said = {}
    for planted in (False, True):
        rng = np.random.default_rng([seed, planted])
        plants = {"favourite": FACTOR, "page": PAGE_FACTOR} if planted else {}
        viewers, order = draw_viewers(rng, **plants)
        frame = draw_sessions(rng, viewers, order)
        kind = viewers["kind"].to_numpy()
        rate = PLANTED_RATE if planted else RATE
        frame = with_clicks(rng, frame, kind, RATE, rate, by_session=False)
        engine = tables(frame)
        with engine.connection:
            seen = {
                "video": (named_videos(engine), {("engaged_explorers", f"v{FAVOURITE}")}),
                "page": (named_sources(engine), {("engaged_explorers", "example.com/0")}),
                "conversion, of viewers": (named_clusters(engine, "verdict"), {"skimmers"}),
            }
        plants = {"first": NEXT_FACTOR} if planted else {}
        viewers, order = draw_viewers(rng, popularity=0, **plants)
        frame = draw_sessions(rng, viewers, order)
        kind = viewers["kind"].to_numpy()
        rate = PLANTED_SESSIONS if planted else SESSION_RATE
        frame = with_clicks(rng, frame, kind, SESSION_RATE, rate, by_session=True)
        engine = tables(frame)
        with engine.connection:
            seen["conversion, of sessions"] = (
                named_clusters(engine, "verdict_per_session"), {"skimmers"},
            )  # fmt: skip
            seen["next video"] = named_next(engine), {"v0"}
        medias = [{"media_id": f"v{n}", "name": f"v{n}", "duration": 300} for n in range(10)]
        engine = tables(draw_lengths(rng, LONGER * planted), medias=medias)
        with engine.connection:
            seen["completion beside the usual"] = named_lengths(engine), {"v0"}
            if not planted:
                seen["natural groups"] = named_groups(engine, seed), set()
        if planted:
            engine = tables(drawn(600, rng)[0])
            with engine.connection:
                seen["natural groups"] = named_groups(engine, seed), {"4"}
        else:
            viewers, order = draw_viewers(rng, campaigns=True)
            engine = tables(draw_sessions(rng, viewers, order))
            with engine.connection:
                said["video, in campaigns", False] = bool(named_videos(engine))
                said["page, in campaigns", False] = bool(named_sources(engine))
        for claim, (named, true) in seen.items():
            said[claim, planted] = bool(named & true if planted else named)
    return said


# ---- what theory gives


def power_of_count(expected, total, usual, gain, planted, tests: int, sides: int = 1) -> float:
    """Power to find a gain on an expected part of a total, variances as usual and as planted.

    Counts are judged by a scaled binomial distribution (mid-p), by Bonferroni over the tests.
    """
    part = expected / total
    scale = usual / (expected * (1 - part))

    def tail(count):
        others = total / scale - count
        return (betainc(count, others + 1, part) + betainc(count + 1, others, part)) / 2

    level = LEVEL / sides / tests
    limit = scale * brentq(lambda count: tail(count) - level, expected / scale, total / scale)
    return norm.cdf((expected + gain - limit) / planted**0.5)


def power_of_two(shares, sizes, tests, *, design=(1.0, 1.0), sides=2, as_planted=False) -> float:
    """The same for two shares, the first planted; design: what the variance is multiplied by.

    as_planted: the test takes the variance for that of the planted shares, not of equal ones.
    """
    shares, sizes, design = map(np.array, (shares, sizes, design))
    total, moved = (shares * sizes).sum(), sizes.prod() / sizes.sum()
    pooled = total / sizes.sum()
    usual, planted = (
        moved**2 * (share * (1 - share) * design / sizes).sum() for share in (pooled, shares)
    )
    usual = planted if as_planted else usual
    gain = moved * (shares[0] - shares[1])
    return power_of_count(sizes[0] * pooled, total, usual, gain, planted, tests, sides)


def power_of_maximum(counts: np.ndarray, groups: int) -> float:
    """How often the first column of drawn counts is named the largest."""
    second = counts[:, 1:].max(axis=1)
    tails = binom.sf(counts[:, 0] - 1, counts[:, 0] + second, 0.5)
    return float((2 * tails < LEVEL / groups).mean())


def power_of_video() -> float:
    """Power to find the favourite, by how far the nearest one taste of all is from the truth.

    Viewers of several videos are compared with each other. Of one taste, the favourite's weight is
    such that as many viewers watch it as do; a larger weight also raises it for all others.
    """
    rng, rounds, drawn_so = np.random.default_rng(0), 40, []
    for _ in range(rounds):
        viewers, order = draw_viewers(rng)
        least = viewers["count"].to_numpy()[:, None] - 1
        others = -np.sort(-np.delete(order, FAVOURITE, axis=1), axis=1)
        # A viewer watches the favourite where it beats as many others.
        viewers["ahead"] = -np.log(FAVOURITE + 1) - np.take_along_axis(others, least, axis=1)[:, 0]
        drawn_so.append(viewers[viewers["count"] > 1])
    viewers = pd.concat(drawn_so)
    own, ahead = viewers["kind"] == EXPLORERS, viewers["ahead"]

    def chances(log_weight):
        return 1 - np.exp(-np.exp(ahead + log_weight))

    truth = chances(np.log(FACTOR) * own)
    usual = chances(brentq(lambda w: (chances(w) - truth).sum(), 0, np.log(FACTOR)))
    steps = (1 - usual) * -np.log(1 - usual)  # of the expected, by the logarithm of the weight
    part = steps[own].sum() / steps.sum()
    alike = [viewers["kind"], viewers["count"]]  # whose chances differ by what nobody can see
    sums = [
        ((own - part) ** 2 * chance * (1 - chance)).sum()
        for chance in (one.groupby(alike).transform("mean") for one in (usual, truth))
    ]
    expected, variance, planted = usual[own].sum() / rounds, *np.array(sums) / rounds
    gain = truth[own].sum() / rounds - expected
    total = usual.sum() / rounds
    return power_of_count(expected, total, variance, gain, planted, len(NAMES) * VIDEOS)


def compute_power() -> dict[str, float]:
    """Power of each test where the truth is known, from normal and binomial distributions."""
    rng, sizes = np.random.default_rng(0), VIEWERS * SHARES
    per_viewer = LEAST + MORE / 2
    sessions = sizes * per_viewer
    squares = sizes * (per_viewer**2 + (MORE * (MORE + 2)) / 12)
    design = 1 + (squares / sessions - 1) / 6  # of a beta distribution with five for a sum
    others = np.arange(len(NAMES)) != SKIMMERS
    mean_design = (design * sessions)[others].sum() / sessions[others].sum()
    orders = [draw_viewers(rng, popularity=0, first=NEXT_FACTOR) for _ in range(2_000)]
    followers = np.array([
        ((-order).argsort(axis=1).argsort(axis=1)[:, :, None]
         < viewers["count"].to_numpy()[:, None, None])[viewers["kind"] == BINGE].sum(axis=0)[:, 0]
        - np.bincount(order[viewers["kind"] == BINGE].argmax(axis=1), minlength=VIDEOS)
        for viewers, order in orders
    ])  # fmt: skip
    spread_of_lengths = 0.7 * 0.125 + 0.3 * 0.04  # of a session's completion
    percent = np.array([0.5, 1.0]), np.array([1 - 2 * LONGER, 2 * LONGER])
    mean = (percent[0] * percent[1]).sum()
    spread_of_lengths = (
        percent[1][0] * (spread_of_lengths + (0.5 - mean) ** 2) + percent[1][1] * (1 - mean) ** 2
    )
    watched = 600 * 3 / 10
    standard_error = (spread_of_lengths / (watched * (1 - 1 / 30))) ** 0.5
    return {
        "video": power_of_video(),
        "page": power_of_two(
            (PAGE_FACTOR / (PAGE_FACTOR + PAGES - 1), 1 / PAGES),
            (sizes[EXPLORERS], VIEWERS - sizes[EXPLORERS]), len(NAMES) * PAGES, sides=1,
        ),
        "conversion, of viewers": power_of_two(
            (PLANTED_RATE, RATE), (sizes[SKIMMERS], VIEWERS - sizes[SKIMMERS]), 2 * len(NAMES)
        ),
        **{
            f"{SESSIONS}{end}": power_of_two(
                (PLANTED_SESSIONS, SESSION_RATE),
                (sessions[SKIMMERS], sessions[others].sum()), 2 * len(NAMES),
                design=(design[SKIMMERS], mean_design), as_planted=bool(end),
            )
            for end in ("", AS_PLANTED)
        },
        "next video": power_of_maximum(followers, 1),
        "completion beside the usual": norm.cdf(
            LONGER / standard_error - norm.isf(LEVEL / 2 / 10)
        ),
    }  # fmt: skip


def share_of(seeds: list[dict], claim: str, planted: bool) -> str:
    counted = [one[claim, planted] for one in seeds if (claim, planted) in one]
    return retention.rate(sum(counted), len(counted)) if counted else "–"


def main(seeds: int) -> None:
    with ProcessPoolExecutor() as pool:
        videos = product(retention.LENGTHS, retention.PLAYS, [seeds])
        drops = pool.map(retention.count_drops, *zip(*videos, strict=True))
        changes = pool.map(change.count_changes, range(seeds))
        measured, theory = list(pool.map(measure, range(seeds))), compute_power()
        drops, changes = list(drops), list(changes)
    by_usual, by_planted = (theory[f"{SESSIONS}{end}"] for end in ("", AS_PLANTED))
    lines = [
        "# Claims of the analysis",
        "",
        f"Made by `benchmarks/analysis.py` in one run of {seeds} seeds; intervals are Wilson's, "
        "95 %.",
        "",
        "## What stands out, conversions, completion, natural groups",
        "",
        f"{VIEWERS:,} viewers in five clusters who watch different amounts, {VIDEOS} videos. "
        "*Falsely*: anything is named where all clusters have the same taste, pages and rates (in "
        "campaigns: half of the viewers come in groups of 30 on one day by one page to one video). "
        "*Found*: what was planted is named. Theory: the power of a test of the same level; for a "
        "video, of one that has to learn from the same data how popular the video is with all.",
        "",
        "| claim | falsely | planted | found | in theory |",
        "|---|--:|---|--:|--:|",
    ]
    for claim in dict.fromkeys(claim for one in measured for claim, _ in one):
        power = f"{theory[claim]:.0%}" if claim in theory else "–"
        lines.append(
            f"| {claim} | {share_of(measured, claim, False)} | {PLANTED.get(claim, '–')} "
            f"| {share_of(measured, claim, True)} | {power} |"
        )
    lines += [
        "",
        "Of a video, theory knows the variance. The test takes the larger of two estimates, that "
        "between viewers and that between times of first visit, lest campaigns be taken for taste: "
        "that costs about two points of power. Of the rate of sessions, the variance is estimated, "
        "from planted sessions too, which vary more: by the usual variance theory gives "
        f"{by_usual:.0%}, by that of the planted ones {by_planted:.0%}.",
        "",
        "## Change among newcomers",
        "",
        change.describe(changes),
        "",
        "## Drops of a video",
        "",
        retention.describe(drops, seeds),
    ]
    (HERE / "analysis.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
