"""Stage 03: each viewer's cluster by rule, and what the clusters are like."""

import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd

from helpers import enrich
from helpers.core import files
from helpers.core.progress import progress
from helpers.findings import change as changes, crm, scoring
from helpers.findings.content import compare_content, suggest_next_videos
from helpers.findings.conversions import compare_conversions
from helpers.findings.counts import have_two_groups, publish_counts, publish_parts
from helpers.findings.coverage import describe_coverage
from helpers.findings.groups import find_groups, label_viewers as label_viewers
from helpers.findings.opt_out import OPT_OUT, read_opt_out
from helpers.findings.people import list_people
from helpers.findings.section import Section
from helpers.findings.sensitivity import count_near_thresholds
from helpers.findings.sources import compare_sources
from helpers.run import Run
from helpers.store.engine import Engine, sql
from helpers.store.rules import ClusterRules


def rules_of(run: Run) -> ClusterRules:
    """The rules of the run: those of its clusters file, or what stage 03 recorded.

    Examples
    --------
    >>> rules = cluster.rules_of(run).replace("bouncers", "avg_percent_watched", 40)
    """
    return run.rules


def rules_table(rules: ClusterRules) -> pd.DataFrame:
    """The rules as a table, index cluster: title, rule in SQL, reading in words."""
    rows = [(rule.title, rule.when or "the rest", rule.description) for rule in rules.clusters]
    index = pd.Index(rules.names, name="cluster")
    return pd.DataFrame(rows, index=index, columns=["title", "rule", "reading"])


def assign(run: Run) -> pd.DataFrame:
    """Write ``data/viewers.parquet``, ``data/clusters.csv`` and the rules, ``data/clusters.yml``.

    Parameters
    ----------
    run : Run
        Reads ``data/features.parquet``, one row per viewer.

    Returns
    -------
    DataFrame
        See :func:`table`.

    Raises
    ------
    DataError
        Stage 02 has not run, or was run for something else.
    ParameterError
        The clusters file is wrong.
    """
    run.need("features.parquet", "02_enrich")
    with run.replace("viewers.parquet") as path:
        run.engine.export(sql("assign_clusters").format(rules=run.rules.case_sql()), path)
    run.engine.show("viewers", run.data("viewers.parquet"))
    run.rules.save(run.data("clusters.yml"))
    clusters = table(run)
    run.write_csv("clusters.csv", clusters.reset_index())
    used = {"source": run.rules.source, "fingerprint": run.rules.fingerprint}
    slips = run.rules.warnings()
    run.record(rules=used, clusters=clusters["viewers"].to_dict(), warnings=slips)
    return clusters


def viewers(run: Run, *, rules: ClusterRules | None = None) -> pd.DataFrame:
    """One row per viewer with its cluster; by other rules nothing is written.

    Returns
    -------
    DataFrame, index visitor_key
        The columns of :func:`helpers.enrich.viewers`, and cluster.

    Examples
    --------
    >>> rules = cluster.rules_of(run).replace("bouncers", "avg_percent_watched", 40)
    >>> cluster.viewers(run, rules=rules).groupby("cluster").size()
    """
    return enrich.with_titles(run, run.engine.query(f"{_clustered(run, rules)} ORDER BY 1"))


def table(run: Run, *, rules: ClusterRules | None = None) -> pd.DataFrame:
    """One row per rule in the order of the file, empty clusters too.

    Returns
    -------
    DataFrame, index cluster
        viewers [viewers], share [0 to 1 of all viewers], avg_videos [videos], avg_percent_watched
        [percent], avg_visits [visits], identified_viewers [viewers], identified_share [0 to 1 of
        the cluster]. Means are rounded to a tenth; those of an empty cluster are missing.

    Examples
    --------
    >>> cluster.table(run)["share"]
    """
    query = sql("clusters").replace("{viewers}", f"({_clustered(run, rules)})")
    counted = run.engine.query(query, {"rules": (rules or run.rules).names}).set_index("cluster")
    if rules is not None:
        _warn(rules, counted["viewers"])
    return counted


def moves(run: Run, *, rules: ClusterRules) -> pd.DataFrame:
    """Who would be elsewhere by other rules.

    Returns
    -------
    DataFrame, index the cluster now and by_other_rules, a row for each move of ``min_cell`` viewers
    or more: viewers [published counts]. Who stays is not counted, for it would tell who moves.
    """
    by = f"SELECT cluster AS now, {rules.case_sql()} AS by_other_rules, count(*) AS viewers"
    counted = run.engine.query(f"{by} FROM ({_clustered(run, None)}) GROUP BY ALL ORDER BY ALL")
    of = counted.groupby("now")["viewers"].transform("sum")
    shown = publish_counts(counted["viewers"], of, run.params.min_cell, known=False)
    moved = counted.assign(viewers=shown)[counted["now"] != counted["by_other_rules"]]
    return moved.dropna().set_index(["now", "by_other_rules"])


def compare(run: Run, labels: pd.Series) -> pd.DataFrame:
    """Other labels, by visitor_key, as of :func:`label_viewers`, beside the clusters.

    Returns
    -------
    DataFrame, index cluster, columns the labels: viewers [published counts].
    """
    query = f"SELECT visitor_key, cluster FROM ({_clustered(run, None)}) ORDER BY 1"
    clusters = run.engine.query(query).set_index("visitor_key")["cluster"]
    both = pd.crosstab(clusters, labels.reindex(clusters.index))
    counted, least = both.reindex(run.rules.names, fill_value=0), run.params.min_cell
    shown = counted.apply(lambda row: publish_parts(row, row.sum(), least, known=False), axis=1)
    return shown.astype("Int64").drop(_small_clusters(run))


def completion_by_videos(run: Run) -> pd.DataFrame:
    """Completion by cluster and number of videos, of groups of ``min_cell`` viewers or more.

    Returns
    -------
    DataFrame, one row per cluster and number of videos (1, 2, 3 to 4, 5 to 9, 10 to 19, more: each
    by its least)
        cluster, videos, avg_percent_watched [whole percent]. How many viewers a group has would
        tell those of others, for the size and the mean of each cluster are exact.
    """
    counted = run.engine.query(sql("completion_by_videos"))
    sizes = counted.groupby("cluster")["viewers"].transform("sum")
    is_shown = publish_counts(counted.pop("viewers"), sizes, run.params.min_cell).notna()
    is_shown &= ~counted["cluster"].isin(_small_clusters(run))
    return counted[is_shown].reset_index(drop=True)


def read_table(run: Run) -> pd.DataFrame:
    """The clusters of ``data/clusters.csv``; see :func:`table`."""
    return files.read_csv(run.need("clusters.csv", "03_cluster")).set_index("cluster")


# ---- findings: each a Section


def content(run: Run, next_videos: pd.DataFrame | None = None) -> Section:
    """Which videos stand out in a cluster; see :func:`.content.compare_content`."""
    return _find(run, compare_content, next_videos)


def sources(run: Run) -> Section:
    """Which pages and campaigns bring a cluster; see :func:`.sources.compare_sources`."""
    return _find(run, compare_sources)


def conversions(run: Run) -> Section:
    """How many of each cluster convert; see :func:`.conversions.compare_conversions`."""
    return _find(run, compare_conversions)


def change(run: Run, known: pd.DataFrame | None = None) -> Section:
    """What is new since the run before; see :func:`.change.compare_runs`."""
    now = {"people": _read_people(run) if known is None else known, "settings": _settings(run)}
    return _find(run, changes.compare_runs, run.window, previous=_previous(run), **now)


def sensitivity(run: Run) -> Section:
    """Who sits near a threshold; see :func:`.sensitivity.count_near_thresholds`."""
    return _find(run, count_near_thresholds)


def groups(run: Run) -> Section:
    """Whether viewers form groups of their own; see :func:`.groups.find_groups`."""
    return _find(run, find_groups, seed=run.params.seed)


def people(run: Run, known: pd.DataFrame | None = None) -> Section:
    """Whom to call, in counts; see :func:`.people.list_people`."""
    return _find(run, list_people, _read_people(run) if known is None else known)


def coverage(run: Run) -> Section:
    """What the data cover and cannot tell; see :func:`.coverage.describe_coverage`."""
    held = None if run.source.wistia == "file" else run.store.days()
    return describe_coverage(_tables(run), run.window, run.params.min_cell, fetched=held)


@progress("findings")
def write_findings(run: Run) -> dict[str, Section]:
    """Write ``data/insights.json``, ``data/affinity.csv`` and the lists of people in ``private/``.

    Returns
    -------
    dict of Section
        content, sources, conversions, change, sensitivity, groups, people, coverage; insights.json
        holds them as JSON, beside schema_version and basis (what they were made with).

    Raises
    ------
    DataError
        Stage 03 has not named the clusters yet.
    """
    tables, previous = _tables(run), _previous(run)
    next_videos = suggest_next_videos(tables, run.rules, run.params.min_cell)
    known = _read_people(run, next_videos)
    found = {
        "content": content(run, next_videos),
        "sources": sources(run),
        "conversions": conversions(run),
        "change": change(run, known),
        "sensitivity": sensitivity(run),
        "groups": groups(run),
        "people": people(run, known),
        "coverage": coverage(run),
    }
    about = {
        "people_then": changes.read_people_then(tables, previous),
        "opt_out": read_opt_out(run.settings.outputs / OPT_OUT),
        "company_news": previous and changes.find_company_news(tables, known["domain"], previous),
    }
    crm.write_files(run.private(""), known, run.rules, run.window, **about)
    run.record(counts={"people": len(known), "people_to_call": int(known["to_call"].sum())})
    videos = found["content"].parts["videos"]
    run.write_csv("affinity.csv", videos.table[list(videos.labels)])
    written = {name: section.to_json() for name, section in found.items()}
    head = {"schema_version": 2, "basis": run.basis()}
    run.write_json("insights.json", head | written)
    return found


def list_findings(found: dict[str, Section]) -> pd.DataFrame:
    """The sentence of each finding, index its name."""
    sentences = {name: section.finding for name, section in found.items()}
    return pd.DataFrame({"finding": sentences}).rename_axis("about")


def _tables(run: Run) -> Engine:
    """The run's tables, viewers with their clusters as stage 03 wrote them."""
    run.engine.show("viewers", run.need("viewers.parquet", "03_cluster"))
    return run.engine


def _find(run: Run, compare: Callable[..., Section], *given: Any, **options: Any) -> Section:
    """A finding of the run's viewers, without the clusters that are too small for one."""
    found = compare(_tables(run), run.rules, *given, min_cell=run.params.min_cell, **options)
    return found.without(_small_clusters(run))


def _read_people(run: Run, next_videos: pd.DataFrame | None = None) -> pd.DataFrame:
    options = {"opt_out": read_opt_out(run.settings.outputs / OPT_OUT), "next_videos": next_videos}
    return scoring.read_people(_tables(run), run.rules, run.window, **options)


def _small_clusters(run: Run) -> list[str]:
    """Those with viewers that have rows in no table below that of the clusters."""
    sizes = read_table(run)["viewers"]
    return [*sizes.index[(sizes > 0) & ~have_two_groups(sizes, run.params.min_cell)]]


def _settings(run: Run) -> dict[str, Any]:
    """What decides who counts and how: where it differs, viewers did not."""
    return {"rules": run.rules.fingerprint, "window": run.window.days, **run.params.choice}


def _previous(run: Run) -> changes.Previous | None:
    """The newest finished run of the account that ended earlier, where its viewers are there."""
    past = run.previous()
    viewers = past and past.data("viewers.parquet")
    if past is None or past.source.wistia != run.source.wistia or not viewers.is_file():
        return None
    people = past.folder / "private" / "crm_hubspot.csv"
    known = {"viewers_path": viewers, "people_path": people, "settings": _settings(past)}
    return changes.Previous(past.folder.name, past.window, past.rules, **known)


def _clustered(run: Run, rules: ClusterRules | None) -> str:
    """A query for viewers with their cluster: as written by stage 03, or by other rules."""
    if rules is None and "cluster" in run.engine.query("FROM viewers LIMIT 0"):
        return "FROM viewers"
    run.need("features.parquet", "02_enrich")
    return sql("assign_clusters").format(rules=(rules or run.rules).case_sql())


def _warn(rules: ClusterRules, viewers: pd.Series) -> None:
    """Rules that match nobody or everybody are most often a slip."""
    whom = {viewers.sum(): "every viewer", 0: "no viewer"}  # of none, each has no viewer
    odd = viewers[viewers.isin(list(whom))]
    slips = [f"Cluster {name} has {whom[count]}: look at its rule." for name, count in odd.items()]
    for text in (*slips, *rules.warnings()):
        warnings.warn(text, stacklevel=3)
