"""What is new since the last run, and whether newcomers behave otherwise than those before them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.core import files
from helpers.core.parameters import Window
from helpers.findings.counts import publish, publish_counts, publish_parts, read_counts
from helpers.findings.newcomers import compare_newcomers
from helpers.findings.section import Section, make_section
from helpers.store import duck
from helpers.store.engine import Engine, sql
from helpers.store.rules import ClusterRules

BACK_AFTER = timedelta(30)  # a company that is seen again after so long is news
MOST_WEEKS = 26  # a longer trend is shown by month


@dataclass(frozen=True)
class Previous:
    """The run before this one.

    Attributes
    ----------
    name : str
        Its folder, such as ``"2026-10-28"``.
    window : Window
    rules : ClusterRules
    viewers_path : Path
        Its data/viewers.parquet.
    people_path : Path or None
        Its private/crm_hubspot.csv; where there is none, people are those of its viewers.
    settings : mapping
        What decides who counts and how, by name: rules (fingerprint), window (days), and what else
        the stage compares.
    """

    name: str
    window: Window
    rules: ClusterRules
    viewers_path: Path
    people_path: Path | None
    settings: Mapping[str, Any]


def compare_runs(
    engine: Engine,
    rules: ClusterRules,
    window: Window,
    *,
    previous: Previous | None,
    people: pd.DataFrame,
    settings: Mapping[str, Any],
    min_cell: int,
) -> Section:
    """What is new since the previous run, and whether newcomers changed.

    Newcomers are viewers first seen in the last n days before the end of the previous run's window
    and of this one, each by what they did until that end, under today's rules; n is the days
    between the ends if 7 to 90, else 28 and the two newest such periods.

    Parameters
    ----------
    people : DataFrame
        Of :func:`helpers.findings.scoring.read_people`.
    settings : mapping
        Of this run, as in :class:`Previous`.

    Returns
    -------
    Section
        table: cluster, viewers_then, viewers_now [published newcomers], share_then, share_now,
        difference (0 to 1 of newcomers), low, high (its 95 % interval, for all clusters together,
        rounded outwards), q_value (Holm), detectable (the smallest difference that would have been
        seen in four of five cases). Parts: news (by cluster; its part totals: new, gone, now),
        trend (by week or month), moves (of viewers of both runs), causes (settings that differ);
        without a previous run only trend.
    """
    parts = {"trend": count_by_period(engine, window, len(people), min_cell=min_cell)}
    causes = []
    if previous:
        causes = [name for name in settings if settings[name] != previous.settings[name]]
        pairs = engine.query(sql("moves").format(viewers=duck.parquet(previous.viewers_path)))
        parts = {
            "news": count_news(engine, rules, previous, pairs, people, causes, min_cell=min_cell),
            **parts,
            "causes": make_section("causes", pd.DataFrame({"setting": causes})),
            "moves": count_moves(pairs, same_rules="rules" not in causes, min_cell=min_cell),
        }
    if others := [name for name in causes if name != "window"]:
        said = f"Clusters are not compared: not as in run {previous.name}: {', '.join(others)}."
        return Section(said, parts=parts)
    end_then = previous.window.end if previous else None
    found = compare_newcomers(engine, rules, window, end_then, min_cell=min_cell)
    return replace(found, parts=parts)


def count_news(
    engine: Engine,
    rules: ClusterRules,
    previous: Previous,
    pairs: pd.DataFrame,
    people: pd.DataFrame,
    causes: list[str],
    *,
    min_cell: int,
) -> Section:
    """What was not there in the previous run: viewers by key, people by e-mail.

    Parameters
    ----------
    pairs : DataFrame
        Viewers of either run: cluster_then, cluster_now (missing: not in that run), viewers.
    causes : list of str
        The settings that differ.

    Returns
    -------
    Section
        table: cluster, viewers, people, to_call, companies [published counts]. Part totals: kind,
        new, gone, now [exact].
    """
    came, left = (pairs[pairs[name].isna()] for name in ("cluster_then", "cluster_now"))
    new, sizes = (_by_cluster(part, rules.names) for part in (came, pairs))
    by_cluster = {"viewers": [new, sizes]}
    rows = [("viewers", came["viewers"].sum(), left["viewers"].sum(), sizes.sum())]
    companies = people[~people["free_mail"] & ~people["opted_out"]]["domain"]
    news = find_company_news(engine, companies, previous).index
    called_then = read_people_then(engine, previous).query("to_call")
    for kind, now, then in (
        ("people", people["person"], find_people_then(engine, previous)["person"]),
        ("to_call", people["person"][people["to_call"]], called_then["person"]),
        ("companies", companies, companies[~companies.isin(news)]),
    ):
        new = now[~now.isin(then)]
        by_cluster[kind] = [part.groupby(people["cluster"]).nunique() for part in (new, now)]
        gone = None if kind == "companies" else len({*then} - {*now})
        rows.append((kind.replace("_", " "), new.nunique(), gone, now.nunique()))
    table = pd.DataFrame({"cluster": rules.names})
    for kind, both in by_cluster.items():
        new, of = (part.reindex(rules.names, fill_value=0).astype(int) for part in both)
        known, listed = kind == "viewers", sizes >= min_cell
        table[kind] = publish_parts(new, of, min_cell, known=known, listed=listed).to_numpy()
    if _tells_moves(pairs, *by_cluster["viewers"], min_cell):
        table = table.drop(columns="viewers")
    totals = pd.DataFrame(rows, columns=["kind", "new", "gone", "now"]).astype({"gone": "Int64"})
    words = {"totals": totals, "previous": previous, "causes": causes, "days": BACK_AFTER.days}
    # What is hidden whole is no column: some of it would be told by what it is a part of.
    table, parts = table.dropna(axis=1, how="all"), {"totals": make_section("totals", totals)}
    return make_section("news", table, parts, **words)


def _tells_moves(pairs: pd.DataFrame, new: pd.Series, now: pd.Series, min_cell: int) -> bool:
    """Whether new viewers by cluster, beside sizes, leave two values for a move of few viewers."""
    moved = pairs.dropna().query("cluster_then != cluster_now")["viewers"].sum()
    then = _by_cluster(pairs, now.index, "cluster_then")
    least, most, _ = read_counts(new.to_frame().T, True, now.to_numpy(), min_cell)
    into = (now - then - most[0]).clip(lower=0).sum()  # so many moved at least
    left = pairs["viewers"][pairs["cluster_now"].isna()].sum()
    out_of = (then - now + least[0]).clip(lower=0).sum() - left
    # In and out of a cluster are fewer than min_cell together, and each needs three values.
    return bool(moved < min_cell and max(into, out_of) > max(min_cell - 5, 0))


def _by_cluster(pairs: pd.DataFrame, clusters: Iterable[str], by: str = "cluster_now") -> pd.Series:
    return pairs.groupby(by)["viewers"].sum().reindex(clusters, fill_value=0).astype(int)


def read_people_then(engine: Engine, previous: Previous | None) -> pd.DataFrame:
    """People of the previous run: those of its CRM file, else the identified among its viewers.

    Returns
    -------
    DataFrame
        person, email, cluster (title), cluster_changed_on (ISO day or missing), to_call (bool).
    """
    columns = ["person", "email", "cluster", "cluster_changed_on", "to_call"]
    if previous is None:
        return pd.DataFrame(columns=columns).astype({"to_call": bool})
    if previous.people_path and previous.people_path.is_file():
        then = files.read_csv(previous.people_path)
        headers = files.read_package_yaml("findings/lists.yml")["hubspot"]
        then = then.rename(columns={header: name for name, header in headers.items()})
        then = then[then["cluster_change"] != "left"]
        called = then["to_call"].astype(str).str.lower() == "true"
        then = then.assign(to_call=called, person=then["email"].str.strip().str.lower())
    else:
        then = find_people_then(engine, previous).assign(cluster_changed_on=None, to_call=False)
        then["cluster"] = then["cluster"].map(previous.rules.titles)
    return then[columns].drop_duplicates("person")


def find_people_then(engine: Engine, previous: Previous) -> pd.DataFrame:
    """Identified people among the previous run's viewers; see ``sql/people_then.sql``."""
    return engine.query(sql("people_then").format(viewers=duck.parquet(previous.viewers_path)))


def find_company_news(engine: Engine, domains: pd.Series, previous: Previous) -> pd.Series:
    """Companies that the previous run did not have, or that are back after 30 days.

    Parameters
    ----------
    domains : Series of str
        E-mail domains of companies.

    Returns
    -------
    Series of str, index domain: ``"new"`` or ``"back"``
    """
    since = datetime.combine(previous.window.end + timedelta(1), time(), UTC)
    then = find_people_then(engine, previous).groupby("domain")["last_active"].max()
    now = engine.rows(sql("company_visits"), {"since": since}).groupby("domain")["seen"].min()
    names = pd.Index(domains.unique(), name="domain")
    is_back = (now - then).reindex(names) >= BACK_AFTER
    news = np.select([~names.isin(then.index), is_back], ["new", "back"], None)
    return pd.Series(news, names).dropna()


def count_moves(pairs: pd.DataFrame, *, same_rules: bool, min_cell: int) -> Section:
    """Viewers of both runs who are in another cluster now; by other rules none are counted.

    Parameters
    ----------
    pairs : DataFrame
        As of :func:`count_news`.

    Returns
    -------
    Section
        table: cluster_then, cluster_now, viewers [published counts]; hidden ones are left out.
    """
    known = pairs.dropna()
    moved = known[known["cluster_then"] != known["cluster_now"]]
    total, count = int(known["viewers"].sum()), int(moved["viewers"].sum())
    of = moved["cluster_then"].map(known.groupby("cluster_then")["viewers"].sum())
    # Zeros and hidden moves are both left out: a row of them could be solved by subtraction.
    table = moved.assign(viewers=publish_counts(moved["viewers"], of, min_cell, known=False))
    sizes = [pairs.groupby(f"cluster_{when}")["viewers"].sum() for when in ("then", "now")]
    few = (pd.concat(sizes) >= min_cell).groupby(level=0).any().sum() <= 2 and min_cell > 1
    hidden = table.empty or table["viewers"].isna().any()
    reason = "the sizes of so few clusters would tell hidden ones" if few and hidden else ""
    if not same_rules:
        reason = "the rules differ"
    table = table.dropna(subset="viewers").sort_values("viewers", ascending=False, kind="stable")
    shown = publish(count, of=total, min_cell=min_cell)
    if shown == 0 and total and min_cell > 1:
        shown = None  # sizes are exact in both runs: where nobody moved they tell who came
    came, left = (pairs["viewers"][pairs[f"cluster_{when}"].isna()] for when in ("then", "now"))
    words = {"came": int(came.sum()), "left": int(left.sum()), "total": total, "moved": count}
    words |= {"shown": shown, "reason": reason, "min_cell": min_cell}
    table = pd.DataFrame() if reason else table.reset_index(drop=True)
    return make_section("moves", table, **words)


def count_by_period(engine: Engine, window: Window, people: int, *, min_cell: int) -> Section:
    """Viewers and identified people with a session, by week back from the window's end, or month.

    Returns
    -------
    Section
        table: period (first day of a week, or month, as text), viewers, people [published counts].
    """
    first = engine.rows("SELECT min(day) AS day FROM sessions")["day"].min()
    if pd.isna(first):
        return Section("There are no sessions, so there is no trend.")
    total = int(engine.query("SELECT count(*) AS n FROM viewers")["n"].sum())
    if total < min_cell:
        return Section("There are too few viewers to show a trend.")
    unit, step, form, kind = "month", "1 MONTH", "%Y-%m", "M"
    if (window.end - pd.Timestamp(first).date()).days < 7 * MOST_WEEKS:
        unit, step, form = "week", "7 DAY", "%Y-%m-%d"
        kind = f"W-{window.end:%a}".upper()  # the newest week ends with the window
    periods = pd.period_range(first, window.end, freq=kind)
    whole = (periods.start_time.date >= window.start) & (periods.end_time.date <= window.end)
    seen = engine.rows(sql("seen").format(step=step, start=periods[0].start_time.date()))
    viewers = seen.groupby("period")["viewers"].sum()
    named = seen[seen["person"] > 0].groupby("period")["person"].nunique()
    table = pd.DataFrame(index=periods[whole].start_time)
    table["viewers"] = publish_counts(viewers.reindex(table.index, fill_value=0), total, min_cell)
    table["people"] = publish_counts(named.reindex(table.index, fill_value=0), people, min_cell)
    # Of a total of one or two a hidden count is known; where none is shown it is no column.
    if people < min_cell or not table["people"].fillna(0).any():
        table = table.drop(columns="people")
    table.index = table.index.strftime(form)
    return make_section("trend", table.rename_axis("period").reset_index(), unit=unit)
