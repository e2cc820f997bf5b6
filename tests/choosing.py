"""Tables of viewers and plays made directly, of clusters whose tastes are known."""

import duckdb
import numpy as np
import pandas as pd

from helpers.store import rules
from helpers.store.engine import Engine

NAMES = rules.load().names
SHARES = np.array([89, 234, 412, 187, 325]) / 1247
LEAST, MORE = np.array([5, 3, 1, 2, 1]), np.array([10, 3, 0, 4, 1])
"""Videos of a viewer of each cluster: at least, and up to so many more."""
START = pd.Timestamp("2026-06-01 12:00", tz="UTC")


def choose(
    rng, *, viewers=1247, videos=40, popularity=1.0, days=60, campaigns=None, favourite=None
):
    """Viewers, and which of the videos each of them watched, drawn without regard to cluster.

    Parameters
    ----------
    popularity : float
        The n-th video has the weight n ** -popularity.
    campaigns : "first" or "only", optional
        Half of the viewers come in groups of 30 on one day, all to one video: as their first, or
        as the only one.
    favourite : (cluster, video, factor), optional
        A taste of one cluster alone: its weight of the video is so many times as large.

    Returns
    -------
    cluster, count [videos], day : arrays of int, one value per viewer
    watched : array of bool, viewers by videos
    """
    cluster = rng.choice(len(NAMES), viewers, p=SHARES)
    day = rng.integers(days, size=viewers)
    weight = np.tile(-popularity * np.log(np.arange(1, videos + 1)), (viewers, 1))
    if favourite:
        name, video, factor = favourite
        weight[cluster == NAMES.index(name), video] += np.log(factor)
    order = weight + rng.gumbel(size=weight.shape)  # drawn one by one, none twice
    groups = viewers // 60
    group = rng.integers(2 * groups, size=viewers)
    came = group < groups if campaigns else np.zeros(viewers, bool)
    day[came] = rng.integers(days, size=groups)[group[came]]
    order[came, rng.integers(videos, size=groups)[group[came]]] = np.inf
    if campaigns == "only":  # the share of bouncers among them is that among all of one video
        cluster[came] = rng.choice([2, 4], came.sum(), p=[412 / 574, 162 / 574])
    count = np.minimum(LEAST[cluster] + rng.integers(0, MORE[cluster] + 1), videos)
    count[came & (campaigns == "only")] = 1
    rank = (-order).argsort(axis=1).argsort(axis=1)
    return cluster, count, day, rank < count[:, None]


def engine_of(cluster, count, day, watched) -> Engine:
    """The tables of a run that findings ask: viewers, plays, titles, sessions (one per play)."""
    keys = np.char.add("k", np.arange(len(cluster)).astype(str))
    first = START + pd.to_timedelta(day, unit="D")
    who, video = np.nonzero(watched)
    viewers = {"visitor_key": keys, "cluster": np.array(NAMES)[cluster], "first_seen": first}
    counts = {"video_count": count, "session_count": count, "total_visits": 1}
    plays = {"visitor_key": keys[who], "media_id": np.char.add("v", video.astype(str))}
    times = {"first_at": first[who], "last_at": first[who]}
    seen = {"sessions": 1, "best": 0.5, "watched": 0.5, "clicked": False, "gate": False}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    for name, columns in {
        "viewers": viewers | counts | {"avg_percent_watched": 50.0},
        "plays": plays | times | seen,
    }.items():
        connection.register("frame", pd.DataFrame(columns))
        connection.execute(f"CREATE TABLE {name} AS FROM frame")
    connection.execute(
        "CREATE TABLE titles AS SELECT DISTINCT media_id, media_id AS title, 100.0 AS duration, "
        "NULL::VARCHAR AS folder FROM plays; CREATE TABLE sessions AS SELECT visitor_key, "
        "media_id, first_at AS received_at, best AS percent_viewed FROM plays"
    )
    return Engine(connection)
