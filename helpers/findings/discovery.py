"""Clusters found by the data, set against the rules; and what the rules miss."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

from helpers.findings.disclosure import suppress, whole_percent, wilson
from helpers.findings.section import part, people
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules

SAMPLE = 10_000
"""Viewers looked at, chosen by a seeded hash."""
FEWEST = 100
"""Fewer viewers than this: nothing is looked for."""
MOST_SINGLE = 0.8
"""More than this share with one session: completion of one play is all there is to go by."""
MOST_CLUSTERS = 8
SMALLEST = 0.02
"""Share of the sample that a cluster must hold."""
VALLEY = 0.01
"""Level of the test for a valley: over all numbers of clusters it comes to about 5 %."""
DEPTH = 0.15
"""Least depth of a valley, as a share of the lower of the two heights beside it."""
TESTED = 2_000
"""Points in a test for a valley; more would find valleys too shallow to matter."""
PERCENT_UNIT = 25.0
"""So many points of completion count as much as one doubling of videos or of visits."""
BANDS = ((0.60, "unstable"), (0.75, "doubtful"), (0.85, "stable"), (np.inf, "highly stable"))
"""Hennig's bands of the mean bootstrap Jaccard similarity: under so much, so called."""
FINISHED = 90.0
FINISHERS = "one_and_done_finishers"
PROFILE = "found viewers share videos visits percent jaccard band"


def sample(con: Engine, *, seed: int = 0, most: int = SAMPLE) -> pd.DataFrame:
    """A bounded sample of viewers with what tells them apart.

    Returns
    -------
    DataFrame, a row per sampled viewer
        cluster, sessions, videos, visits, percent (0–100), and total and spread: sum over the
        viewer's videos of the best session (0–1 each), and sum of squares about their mean.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE chosen AS
        SELECT visitor_key, session_count AS sessions, total_visits AS visits
        FROM viewers ORDER BY hash(visitor_key, {int(seed)}), visitor_key LIMIT {int(most)}
        """
    )
    con.share("chosen")
    con.gather(
        """
        SELECT visitor_key, any_value(member_plays.cluster) AS cluster,
               any_value(chosen.sessions) AS sessions, count(*) AS videos,
               any_value(chosen.visits) AS visits, favg(best) * 100 AS percent,
               fsum(best) AS total, var_pop(best) * count(*) AS spread
        FROM chosen JOIN members USING (visitor_key) JOIN member_plays USING (viewer)
        GROUP BY visitor_key
        """,
        "sampled",
    )
    return con.execute("SELECT * EXCLUDE visitor_key FROM sampled ORDER BY visitor_key").df()


def reliability(viewers: pd.DataFrame) -> tuple[float, float]:
    """Whether viewers differ in completion, or only their sessions do.

    One-way analysis of variance of the best sessions by viewer, over viewers with two videos or
    more.

    Returns
    -------
    intraclass : float
        Share of the variance of a single video's completion that lies between viewers (0–1).
    p_value : float
        That there is none; 1 when too few viewers have two videos.
    """
    from scipy.stats import f

    several = viewers[viewers["videos"] >= 2]
    groups, n = len(several), float(several["videos"].sum())
    within = float(several["spread"].sum())
    if groups < 10:
        return 0.0, 1.0
    means = several["total"] / several["videos"]
    grand = several["total"].sum() / n
    between = float((several["videos"] * (means - grand) ** 2).sum())
    mean_between, mean_within = between / (groups - 1), within / (n - groups)
    if mean_within <= 0:
        return (1.0, 0.0) if mean_between > 0 else (0.0, 1.0)
    size = (n - (several["videos"] ** 2).sum() / n) / (groups - 1)
    intraclass = (mean_between - mean_within) / (mean_between + (size - 1) * mean_within)
    p_value = float(f.sf(mean_between / mean_within, groups - 1, n - groups))
    return max(float(intraclass), 0.0), p_value


def points(viewers: pd.DataFrame, *, seed: int = 0) -> np.ndarray:
    """Viewers as points: doublings of videos, doublings of visits, completion.

    A count c is spread over log2 of c to c + 1, so that small numbers make no lumps. Completion is
    drawn to the mean by what one viewer's few videos can tell (its intraclass correlation), and
    left out where viewers do not differ in it.
    """
    # The same place for both counts makes no lumps; a stream of its own, lest data drawn with the
    # same seed (sample data, benchmarks) go with it and make clusters of it.
    place = np.random.default_rng([seed, 1]).random(len(viewers))
    counts = (viewers[name].to_numpy(float) for name in ("videos", "visits"))
    columns = [np.log2(count) + place * np.log2(1 + 1 / count) for count in counts]
    intraclass, p_value = reliability(viewers)
    if p_value < 0.01 and intraclass > 0:
        videos, percent = viewers["videos"].to_numpy(float), viewers["percent"].to_numpy(float)
        weight = videos / (videos + (1 - intraclass) / intraclass)
        mean = viewers["total"].sum() / videos.sum() * 100
        columns.append((mean + weight * (percent - mean)) / PERCENT_UNIT)
    return np.column_stack(columns)


def two_modes(
    values: np.ndarray, *, seed: int = 0, draws: int = 199, level: float = VALLEY
) -> bool:
    """Whether the values have two modes: a valley deep enough to matter, that chance does not make.

    Deep: at the usual bandwidth the density falls by 15 % or more between two heights. Not by
    chance: Silverman's test of the critical bandwidth, which alone is too ready on even values.

    Parameters
    ----------
    values : array of float, one dimension
    draws : int
        Bootstrap samples of the smoothest density with one mode.
    level : float
        One mode is rejected when under this share of the draws is as lumpy as the values.

    References
    ----------
    Silverman, B. W. (1981). Using kernel density estimates to investigate multimodality.
    """
    from scipy.ndimage import gaussian_filter1d

    values = np.asarray(values, float)
    spread, cells = values.std(), 256
    if spread == 0:
        return False
    low, high = values.min() - 3 * spread, values.max() + 3 * spread
    width = (high - low) / cells

    def has_two(sample: np.ndarray, bandwidth: float) -> bool:
        counts = np.histogram(sample, cells, (low, high))[0].astype(float)
        slope = np.sign(np.diff(gaussian_filter1d(counts, bandwidth / width, truncate=5)).round(9))
        slope = slope[slope != 0]
        return int((np.diff(slope) < 0).sum()) > 1

    usual = spread * (0.75 * len(values)) ** -0.2  # Silverman's rule of thumb
    counts = np.histogram(values, cells, (low, high))[0].astype(float)
    density = gaussian_filter1d(counts, usual / width, truncate=5)
    heights = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    inside = heights > 1e-6 * density.max()
    if (density[inside] / heights[inside]).min() > 1 - DEPTH:
        return False
    narrow, wide = width, 2 * spread
    for _ in range(20):
        middle = (narrow + wide) / 2
        narrow, wide = (middle, wide) if has_two(values, middle) else (narrow, middle)
    rng, n = np.random.default_rng([seed, 2]), len(values)
    shrink = 1 / np.sqrt(1 + (wide / spread) ** 2)
    beyond = 0
    for _ in range(draws):
        again = rng.choice(values, n) + wide * rng.standard_normal(n)
        again = values.mean() + (again - values.mean()) * shrink
        beyond += has_two(again, wide)
        if (beyond + 1) / (draws + 1) >= level:
            return False
    return True


def _apart(x: np.ndarray, labels: np.ndarray, centres: np.ndarray, *, seed: int) -> bool:
    """Whether each cluster is parted from its nearest by a valley on the line between them."""
    for mine, centre in enumerate(centres):
        gaps = np.linalg.norm(centres - centre, axis=1)
        gaps[mine] = np.inf
        near = int(gaps.argmin())
        pair = x[(labels == mine) | (labels == near)][:TESTED]
        if not two_modes(pair @ ((centres[near] - centre) / gaps[near]), seed=seed):
            return False
    return True


def find(x: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Clusters of points and the evidence for their number.

    k-means for 2 to 8 clusters. By falling silhouette, the first number is taken whose clusters
    all hold 2 % of the points and are each parted from the nearest by a valley (Silverman's test,
    1 %). No number passes: there is one cluster, which is none.

    Returns
    -------
    labels : array of int; all 0 when there are none
    tried : DataFrame, index k: silhouette (−1 to 1), apart (bool, missing: not needed)
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits

    models, silhouettes, apart = {}, {}, {}
    with threadpool_limits(1):  # waiting threads cost more than they help at this size
        for k in range(2, MOST_CLUSTERS + 1):
            model = models[k] = KMeans(k, n_init=4, random_state=seed).fit(x)
            size = min(len(x), TESTED)
            score = silhouette_score(x, model.labels_, sample_size=size, random_state=seed)
            silhouettes[k] = float(score)
    labels = np.zeros(len(x), int)
    for k in sorted(models, key=silhouettes.get, reverse=True):
        found, centres = models[k].labels_, models[k].cluster_centers_
        large = np.bincount(found, minlength=k).min() >= SMALLEST * len(x)
        apart[k] = bool(large) and _apart(x, found, centres, seed=seed)
        if apart[k]:
            labels = found
            break
    tried = pd.DataFrame({"silhouette": silhouettes, "apart": pd.Series(apart, dtype=object)})
    return labels, tried


def bootstrap_jaccard(
    x: np.ndarray, labels: np.ndarray, *, seed: int = 0, draws: int = 25
) -> np.ndarray:
    """Mean similarity of each cluster to its nearest in bootstrap samples clustered anew (0–1).

    References
    ----------
    Hennig, C. (2007). Cluster-wise assessment of cluster stability.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    k, rng = labels.max() + 1, np.random.default_rng([seed, 3])
    found = np.zeros((draws, k))
    for draw in range(draws):
        chosen = rng.integers(0, len(x), min(len(x), 3_000))
        with threadpool_limits(1):
            again = KMeans(k, n_init=1, random_state=seed + draw).fit_predict(x[chosen])
        both = np.zeros((k, k))
        np.add.at(both, (labels[chosen], again), 1)
        union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
        found[draw] = (both / np.maximum(union, 1)).max(axis=1)
    return found.mean(axis=0)


def band(jaccard: float) -> str:
    """Hennig's word for a mean Jaccard similarity."""
    return next(word for limit, word in BANDS if jaccard < limit)


def discovery(
    con: Engine, rules: ClusterRules, *, min_cell: int = 10, seed: int = 0
) -> dict[str, Any]:
    """The part ``discovery``: clusters found by the data against the rules, and the finishers."""
    viewers = sample(con, seed=seed)
    more = {"finishers": _finishers_part(finishers(con, rules), rules, min_cell)}
    single = float((viewers["sessions"] == 1).mean()) if len(viewers) else np.nan
    figures = {"sampled": len(viewers), "one_session_share": single, "clusters_found": 0}
    if len(viewers) < FEWEST:
        reason = f"No clusters were looked for: {people(len(viewers))}, under {FEWEST}."
        return part(reason, columns=PROFILE, more=more, **figures)
    if single > MOST_SINGLE:
        reason = (
            f"The data show no clusters of their own: {whole_percent(single)} of viewers have one "
            "session, so there is little more to go by than how far one play ran."
        )
        return part(reason, columns=PROFILE, more=more, **figures)
    x = points(viewers, seed=seed)
    labels, tried = find(x, seed=seed)
    k = int(labels.max()) + 1
    evidence = part(
        "Numbers of clusters tried, with what speaks for each.",
        tried.rename_axis("k").reset_index(),
        "k silhouette apart",
    )
    note = (
        "k-means on doublings of videos and of visits and on completion, "
        f"{len(viewers):,} viewers by seeded hash. A number counts when each cluster is parted "
        "from its nearest by a valley (Silverman's test, 1 %); among those, the best silhouette."
    )
    if k == 1:
        finding = "The data show no clusters of their own: viewers shade into each other."
        return part(
            finding, columns=PROFILE, note=note, more=more | {"evidence": evidence}, **figures
        )
    profile, cross, agreement = _against_rules(viewers, x, labels, rules, seed)
    shown = suppress(cross, min_cell).reset_index()
    more["cross"] = part(
        f"Adjusted Rand index of the rules and the data: {agreement:.2f} (1: the same, 0: chance).",
        shown,
        {"cluster": "cluster by rule"} | {name: name for name in cross.columns},
        f"Viewers of the sample. Cells under {min_cell}, and those that tell them, are hidden.",
    )
    finding = (
        f"The data show {k} clusters of their own; with the rules they agree to "
        f"{agreement:.2f} (adjusted Rand index; 1 is the same, 0 is chance)."
    )
    figures |= {"clusters_found": k, "adjusted_rand": agreement}
    return part(finding, profile, PROFILE, note, more=more | {"evidence": evidence}, **figures)


def _against_rules(viewers, x, labels, rules, seed) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    from sklearn.metrics import adjusted_rand_score

    jaccard = bootstrap_jaccard(x, labels, seed=seed)
    order = np.bincount(labels).argsort(kind="stable")[::-1]
    names = {int(label): f"group {chr(65 + place)}" for place, label in enumerate(order)}
    found = pd.Series(labels, viewers.index).map(names)
    profile = viewers.groupby(found)[["videos", "visits", "percent"]].median()
    profile["viewers"] = found.value_counts()
    profile["share"] = profile["viewers"] / len(viewers)
    profile["jaccard"] = {names[int(label)]: value for label, value in enumerate(jaccard)}
    profile["band"] = profile["jaccard"].map(band)
    cross = pd.crosstab(viewers["cluster"], found).reindex(rules.names, fill_value=0)
    cross = cross.rename_axis(columns=None)
    agreement = float(adjusted_rand_score(viewers["cluster"], labels))
    return profile.rename_axis("found").reset_index(), cross, agreement


def finishers(con: Engine, rules: ClusterRules) -> dict[str, Any]:
    """Viewers that watched one video to the end and that the rules leave in the rest.

    Returns
    -------
    dict
        cluster (the rest's name), viewers, of (viewers of that cluster), identified, and share
        (0–1 of the cluster) with low and high (95 %, Wilson); null where the cluster is empty.
    """
    rest = rules.names[-1]
    count, of, identified = con.execute(
        f"""
        SELECT count(*) FILTER (done), count(*), count(*) FILTER (done AND identified)
        FROM (SELECT *, {_finisher_rule()} AS done FROM viewers WHERE cluster = $rest)
        """,
        {"rest": rest},
    ).fetchall()[0]
    low, high = wilson(count, of) or (None, None)
    return {
        "cluster": rest, "viewers": count, "of": of, "identified": identified,
        "share": count / of if of else None, "low": low, "high": high,
    }  # fmt: skip


def _finisher_rule() -> str:
    return f"video_count = 1 AND avg_percent_watched >= {FINISHED:g}"


def _finishers_part(found: dict[str, Any], rules: ClusterRules, min_cell: int) -> dict[str, Any]:
    title = rules.titles[found["cluster"]]
    if 0 < found["identified"] < min_cell:
        found = found | {"identified": None}
    if 0 < found["viewers"] < min_cell:
        found = found | dict.fromkeys(("viewers", "share", "low", "high", "identified"))
    finding = f"The rules leave no viewer in {title}."
    if found["viewers"] is None:
        finding = f"Under {min_cell} of {found['of']:,} {title} watched one video to the end."
    elif found["of"]:
        few = f"under {min_cell}" if found["identified"] is None else f"{found['identified']:,}"
        finding = (
            f"{people(found['viewers'])} of {found['of']:,} {title} "
            f"({whole_percent(found['share'])}) watched one video to the end; {few} of them are "
            "identified."
        )
    columns = "cluster viewers of share low high identified"
    note = (
        f"One video, {FINISHED:g} % of it or more. data/clusters_with_finishers.yml gives them a "
        "cluster of their own: name it with the parameter clusters_file."
    )
    return part(finding, pd.DataFrame([found]), columns, note, **found)


def clusters_file(rules: ClusterRules) -> str:
    """Text of a clusters file: the rules, and one-and-done finishers before the rest."""
    from ruamel.yaml import YAML

    rows = []
    for cluster in rules.clusters:
        row = {"name": cluster.name, "title": cluster.title}
        row |= {"when": cluster.when} if cluster.when else {}
        row |= {"description": cluster.description} if cluster.description else {}
        rows.append(row | ({"persona": cluster.persona} if cluster.persona else {}))
    if FINISHERS not in rules.names:
        rows.insert(-1, {
            "name": FINISHERS,
            "title": "One-and-done Finishers",
            "when": _finisher_rule(),
            "description": "Watched one video, and that to the end. They came for something, "
            "found it, and have not been shown what comes next.",
        })  # fmt: skip
    yaml, text = YAML(), io.StringIO()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 96
    yaml.dump({"name_prefix": rules.name_prefix, "clusters": rows}, text)
    head = "# The rules of this run, with a cluster for people who watched one video to the end.\n"
    return head + text.getvalue()
