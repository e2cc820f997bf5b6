"""Natural groups: what k-means and HDBSCAN find among the viewers, beside the rules."""

import numpy as np
import pandas as pd

from helpers.findings.counts import publish
from helpers.findings.section import Section, make_section
from helpers.store.engine import Engine, sql
from helpers.store.rules import ClusterRules

SAMPLE = 5_000  # viewers looked at; HDBSCAN takes a second for them, ten for 20,000
FEWEST = 100  # fewer viewers: nothing is looked for
MOST_GROUPS = 8
SMALLEST = 0.02  # share of the sample that a group must hold
MEASURED = 2_000  # viewers that the silhouette is measured on
REASONABLE = 0.5  # a silhouette under it is no structure (Kaufman and Rousseeuw 1990)
SAME = 0.7  # two methods agree on groups from this adjusted Rand index on
PERCENT_UNIT = 25.0  # points of completion that count as much as a doubling of videos or visits
COLUMNS = ["video_count", "total_visits", "avg_percent_watched"]


def find_groups(engine: Engine, rules: ClusterRules, min_cell: int, seed: int) -> Section:
    """Whether viewers form groups of their own, and how these agree with the rules.

    Parameters
    ----------
    engine : Engine
        With viewers.

    Returns
    -------
    Section
        A row per method: method, groups, silhouette (−1 to 1), outside (share of viewers in no
        group), agreement (with the rules).
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.metrics import adjusted_rand_score

    count = int(engine.counts("SELECT count(*) AS n FROM viewers")["n"].sum())
    if count < FEWEST:
        return Section(f"Natural groups need {FEWEST} viewers or more.")
    part = {"seed": seed, "part": min(SAMPLE / count, 1.0)}
    sample = engine.rows(sql("viewer_sample"), part).sort_values("visitor_key", ignore_index=True)
    points = _place(sample, seed)
    least = max(int(SMALLEST * len(points)), min_cell, 2)
    labels = {
        "k-means": _best_kmeans(points, seed),
        "HDBSCAN": HDBSCAN(min_cluster_size=least, copy=True).fit_predict(points),
    }
    frame = pd.DataFrame(
        {
            "method": method,
            "groups": len(set(found) - {-1}),
            "silhouette": _silhouette(points, found, seed),
            "outside": publish(int((found < 0).sum()), of=len(sample), min_cell=min_cell),
            "agreement": round(adjusted_rand_score(sample["cluster"], found), 2),
        }
        for method, found in labels.items()
    )
    frame["outside"] = frame["outside"].astype("Float64") / len(sample)
    same = adjusted_rand_score(*labels.values())
    clear = same >= SAME and frame["silhouette"].min() >= REASONABLE
    return make_section("groups", frame, same=same, clear=clear)


def label_viewers(viewers: pd.DataFrame, *, groups: int, seed: int = 0) -> pd.Series:
    """k-means labels of viewers, to set beside their clusters.

    Parameters
    ----------
    viewers : DataFrame
        video_count, total_visits, avg_percent_watched, a row per viewer.
    groups : int
        How many; fewer where there are fewer viewers.

    Returns
    -------
    Series of str, index that of `viewers`: "group A" (the largest), "group B", ...

    Examples
    --------
    >>> viewers["group"] = cluster.label_viewers(viewers, groups=5)
    """
    if viewers.empty:
        return pd.Series([], viewers.index, dtype="str")
    labels = _kmeans(_place(viewers, seed), min(groups, len(viewers)), seed)
    found = pd.Series(labels, viewers.index)
    by_size = enumerate(found.value_counts().index)
    return found.map({number: f"group {chr(ord('A') + place)}" for place, number in by_size})


def _place(viewers: pd.DataFrame, seed: int) -> np.ndarray:
    """Viewers as points; the completion of few videos tells little and is drawn to the mean."""
    videos, visits, percent = (viewers[name].to_numpy(float) for name in COLUMNS)
    # A count c is spread over log2 of c to c + 1: small numbers would be groups by themselves.
    # The random numbers are a stream of their own: data made with the same seed are not like them.
    place = np.random.default_rng([seed, 1]).random(len(viewers))
    counts = [np.log2(count) + place * np.log2(1 + 1 / count) for count in (videos, visits)]
    completion = videos / (videos + 1) * (percent - percent.mean()) / PERCENT_UNIT
    return np.column_stack([*counts, completion])


def _best_kmeans(points: np.ndarray, seed: int) -> np.ndarray:
    """Labels of the number of groups with the best silhouette, none of them tiny."""
    tried = [_kmeans(points, number, seed) for number in range(2, MOST_GROUPS + 1)]
    large = [found for found in tried if np.bincount(found).min() >= SMALLEST * len(points)]
    alone = np.zeros(len(points), int)
    return max(large, key=lambda found: _silhouette(points, found, seed), default=alone)


def _kmeans(points: np.ndarray, groups: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # waiting threads cost more than they help at this size
        return KMeans(groups, n_init=4, random_state=seed).fit_predict(points)


def _silhouette(points: np.ndarray, found: np.ndarray, seed: int) -> float:
    """Silhouette of the viewers that are in a group; 0 where there is only one."""
    from sklearn.metrics import silhouette_score

    inside = found >= 0
    if len(set(found[inside])) < 2:
        return 0.0
    size = min(MEASURED, int(inside.sum()))
    score = silhouette_score(points[inside], found[inside], sample_size=size, random_state=seed)
    return round(float(score), 2)
