"""Stage 03: each viewer's cluster by rule, and what the clusters are like."""

from __future__ import annotations

import pandas as pd

from helpers.core import files
from helpers.enrich import connection
from helpers.run import Run
from helpers.store import engine, rules
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules


def rules_of(run: Run) -> ClusterRules:
    """The clusters file of the run, checked; see :func:`helpers.store.rules.load`."""
    return rules.load(run.params["clusters_file"], folder=run.folder)


def rules_table(chosen: ClusterRules) -> pd.DataFrame:
    """The rules as a table, index cluster: title, rule in SQL, reading in words."""
    rows = [(one.title, one.when or "the rest", one.description) for one in chosen.clusters]
    index = pd.Index(chosen.names, name="cluster")
    return pd.DataFrame(rows, index=index, columns=["title", "rule", "reading"])


def assign(run: Run) -> pd.DataFrame:
    """Write ``data/viewers.parquet`` and ``data/clusters.csv``.

    Parameters
    ----------
    run : Run
        Reads ``data/features.parquet``, one row per viewer.

    Returns
    -------
    DataFrame
        See :func:`summary`.

    Raises
    ------
    DataError
        Stage 02 has not run.
    ParameterError
        The clusters file is wrong.
    """
    chosen = rules_of(run)
    run.need("features.parquet", "02_enrich")
    con = connection(run)
    target = run.data("viewers.parquet")
    con.export(engine.sql("viewers").format(rules=chosen.case_sql()), target)
    con.show("viewers", target)
    table = summarize(con, chosen)
    files.write_csv(table.reset_index(), run.data("clusters.csv"))
    run.record(
        rules={"source": chosen.source, "fingerprint": chosen.fingerprint},
        clusters={name: int(count) for name, count in table["viewers"].items()},
    )
    return table


def summarize(con: Engine, chosen: ClusterRules, table: str = "viewers") -> pd.DataFrame:
    """One row per rule in the order of the file, empty clusters too.

    Parameters
    ----------
    con : Engine
        With a table or view ``table``: the viewers columns with cluster.

    Returns
    -------
    DataFrame, index cluster
        viewers [viewers, int64], share (0–1 of viewers), avg_videos [videos], avg_percent_watched
        (0–100), avg_visits [visits], identified_viewers [viewers], identified_share (0–1 of the
        cluster). Means of an empty cluster are missing.
    """
    places = pd.DataFrame({"cluster": chosen.names, "place": range(len(chosen.names))})
    con.register("rules", places)
    query = engine.sql("clusters").replace("LEFT JOIN viewers", f"LEFT JOIN {table} AS viewers")
    frame = con.execute(query).df().set_index("cluster")
    con.unregister("rules")
    return frame.astype({"viewers": "int64", "identified_viewers": "int64"})


def summary(run: Run) -> pd.DataFrame:
    """The clusters of ``data/clusters.csv``; see :func:`summarize`."""
    return pd.read_csv(run.need("clusters.csv", "03_cluster"), index_col="cluster")


def completion_by_videos(run: Run) -> pd.DataFrame:
    """Viewers by cluster, number of videos and completion, aggregated.

    Returns
    -------
    DataFrame, one row per cluster and number of videos (20 stands for 20 and more)
        cluster, videos, viewers, avg_percent_watched (0–100), p10 and p90 of it (0–100).
    """
    return (
        connection(run)
        .execute(
            """
        SELECT cluster, least(video_count, 20) AS videos, count(*) AS viewers,
               avg(avg_percent_watched) AS avg_percent_watched,
               quantile_cont(avg_percent_watched, 0.1) AS p10,
               quantile_cont(avg_percent_watched, 0.9) AS p90
        FROM viewers GROUP BY ALL ORDER BY ALL
        """
        )
        .df()
    )


def preview(run: Run, changed: ClusterRules) -> pd.DataFrame:
    """Who would move if the rules were ``changed``; nothing is saved or bought.

    Parameters
    ----------
    changed : ClusterRules
        Such as ``cluster.rules_of(run).replace("bouncers", "avg_percent_watched", 40)``.

    Returns
    -------
    DataFrame, index the cluster now, columns the cluster then, values viewers.
    """
    con = connection(run)
    moved = con.execute(
        f"SELECT cluster AS now, {changed.case_sql()} AS cluster_then, count(*) AS viewers "
        "FROM viewers GROUP BY ALL"
    ).df()
    now, then = rules_of(run).names, changed.names
    table = moved.pivot(index="now", columns="cluster_then", values="viewers")
    return table.reindex(index=now, columns=then).fillna(0).astype("int64").rename_axis(
        columns="then"
    )  # fmt: skip
