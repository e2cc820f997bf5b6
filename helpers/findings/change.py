"""What changed since the run before and since the period before, and what only looks changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helpers.core.parameters import Window
from helpers.findings.disclosure import suppress, whole_percent
from helpers.findings.section import (
    TOO_FEW,
    false_discovery,
    features,
    fewer,
    is_few,
    part,
    people,
    with_interval,
)
from helpers.store import engine
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules

if TYPE_CHECKING:
    from helpers.run import Run

LEVEL = 0.05
JOINED, LEFT = "(joined)", "(left)"
SHARES = "cluster before after share_before share_after difference low high q_value changed"


def period_viewers(con: Engine, table: str, start: date, end: date, rules: ClusterRules) -> None:
    """Make a temporary table of the viewers of another period.

    Parameters
    ----------
    con : Engine
        With all_sessions, visitors, viewer_emails, excluded_visitors.
    table : str
        Name to give; the viewers columns with cluster.
    start, end : date
        UTC days, inclusive.
    """
    sessions = engine.sql("period").format(start=start, end=end)
    con.each(f"CREATE OR REPLACE TEMP TABLE {table}_sessions AS {sessions}")
    features(con, f"{table}_sessions", table, f"*, {rules.case_sql()} AS cluster")


def periods(con: Engine, window: Window) -> tuple[Window, Window, str] | None:
    """The two equal periods to set against each other, and what they are.

    The window and the equal period before it, where the store reaches back that far; else the two
    halves of the days of the window that hold sessions. None: under two such days.
    """
    first, last = _days_held(con)
    if first is None or last < window.start or first > window.end:
        return None
    length = timedelta(window.days)
    before = replace(window, start=window.start - length, end=window.start - timedelta(1))
    if first <= before.start + length / 10:  # a quiet first tenth is no hole
        return before, window, "the equal period before the window"
    start = max(first, window.start)
    half = ((window.end - start).days + 1) // 2
    if half < 1:
        return None
    middle = window.end - timedelta(half - 1)
    earlier = replace(window, start=middle - timedelta(half), end=middle - timedelta(1))
    return earlier, replace(window, start=middle), "the two halves of the window"


def _days_held(con: Engine) -> tuple[date | None, date | None]:
    con.gather("SELECT min(day) AS first, max(day) AS last FROM all_sessions", "held")
    return con.execute("SELECT min(first), max(last) FROM held").fetchall()[0]


def migration(con: Engine, before: str, after: str, names: list[str]) -> pd.DataFrame:
    """Who joined, left and moved: viewers by cluster before and cluster after.

    Parameters
    ----------
    before, after : str
        Tables with visitor_key and cluster.
    names : list of str
        Clusters in order; others found in the tables follow.

    Returns
    -------
    DataFrame of int64
        Index the clusters before and ``(joined)``, columns the clusters after and ``(left)``.
    """
    con.gather(engine.sql("migration").format(before=before, after=after), "moves")
    counted = con.execute(
        "SELECT before, after, sum(viewers)::BIGINT AS viewers FROM moves GROUP BY ALL"
    ).df()
    found = set(counted["before"].dropna()) | set(counted["after"].dropna())
    names = [*names, *sorted(found - set(names))]
    matrix = pd.DataFrame(0, index=[*names, JOINED], columns=[*names, LEFT], dtype="int64")
    for row in counted.itertuples():
        matrix.loc[
            JOINED if pd.isna(row.before) else row.before, LEFT if pd.isna(row.after) else row.after
        ] = row.viewers
    return matrix.rename_axis(index="before", columns="after")


def differences(matrix: pd.DataFrame) -> pd.DataFrame:
    """Difference of each cluster's share between two overlapping groups of viewers.

    Parameters
    ----------
    matrix : DataFrame
        Of :func:`migration`.

    Returns
    -------
    DataFrame, a row per cluster
        before, after [viewers], share_before, share_after (0–1), difference (−1 to 1) with low and
        high (95 %), p_value, q_value (Benjamini and Hochberg over the clusters), changed (bool:
        q-value under 5 % and 30 viewers or more on both sides).

    Notes
    -----
    Viewers of both groups make the two shares depend on each other. The interval is Newcombe's of
    Wilson limits with that correlation; without shared viewers it is his method 10.

    References
    ----------
    Newcombe, R. G. (1998). Improved confidence intervals for the difference between binomial
    proportions based on paired data. Zou, G. Y. and Donner, A. (2008), MOVER.
    """
    from scipy.stats import norm

    names = [name for name in matrix.index if name != JOINED]
    both = matrix.loc[names, names]
    n_before, n_after = int(matrix.loc[names].to_numpy().sum()), int(matrix[names].to_numpy().sum())
    shared = int(both.to_numpy().sum())
    frame = pd.DataFrame({"cluster": names})
    frame["before"] = matrix.loc[names].sum(axis=1).to_numpy()
    frame["after"] = matrix[names].sum(axis=0).to_numpy()
    for side, total in (("before", n_before), ("after", n_after)):
        frame = with_interval(frame.assign(total=total), side, "total", f"share_{side}")
    frame = frame.drop(columns="total")
    p, q = frame["share_before"].to_numpy(), frame["share_after"].to_numpy()
    stayed, was, came = np.diag(both), both.sum(axis=1).to_numpy(), both.sum(axis=0).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        product = stayed - p * came - q * was + shared * p * q  # sum of (y-p)(z-q) over the shared
        covariance = product / (n_before * n_after)
        spread = np.sqrt(p * (1 - p) / n_before * q * (1 - q) / n_after)
        r = np.clip(np.nan_to_num(covariance / spread), -1, 1)
        error = np.sqrt(p * (1 - p) / n_before + q * (1 - q) / n_after - 2 * covariance)
        score = np.where(error > 1e-12, (q - p) / error, np.where(p == q, 0, np.inf))
    below, above = p - frame["share_before_low"], frame["share_before_high"] - p
    under, over = q - frame["share_after_low"], frame["share_after_high"] - q
    frame["difference"] = q - p
    frame["low"] = frame["difference"] - np.sqrt(under**2 - 2 * r * under * above + above**2)
    frame["high"] = frame["difference"] + np.sqrt(over**2 - 2 * r * over * below + below**2)
    enough = min(n_before, n_after) >= TOO_FEW
    frame["p_value"] = 2 * norm.sf(np.abs(score)) if min(n_before, n_after) else np.nan
    frame["q_value"] = false_discovery(frame["p_value"])
    frame["changed"] = (frame["q_value"] < LEVEL) & enough
    return frame


def against_period(
    con: Engine, window: Window, rules: ClusterRules, *, min_cell: int = 10
) -> dict[str, Any]:
    """Part: the window against the equal period before it, or its second half against its first.

    Leaves the temporary tables ``earlier``, ``later`` (visitor_key, cluster) and
    ``later_sessions`` (visitor_key, conversion_type).
    """
    found = periods(con, window)
    if found is None:
        finding = "There is no earlier period: under two days hold sessions."
        moves = part("Nobody can have joined, left or moved.")
        return part(finding, columns=SHARES, more={"migration": moves})
    earlier, later, what = found
    period_viewers(con, "earlier", earlier.start, earlier.end, rules)
    if later == window:  # already at hand
        con.each("CREATE OR REPLACE TEMP TABLE later AS SELECT visitor_key, cluster FROM viewers")
        con.each(
            "CREATE OR REPLACE TEMP TABLE later_sessions AS "
            "SELECT visitor_key, conversion_type FROM sessions"
        )
    else:
        period_viewers(con, "later", later.start, later.end, rules)
    matrix = migration(con, "earlier", "later", rules.names)
    note = (
        f"Compared: {what}, {earlier.start} to {earlier.end} and {later.start} to {later.end} "
        "(UTC), under today's rules. Intervals allow for viewers in both. Changed: a q-value under "
        "5 %, which allows for looking at all clusters at once."
    )
    return _comparison(matrix, rules, min_cell, note, str(earlier.end), what=what)


def _comparison(matrix, rules, min_cell, note, since, **figures) -> dict[str, Any]:
    frame = differences(matrix)
    names = list(matrix.index[:-1])
    both = matrix.loc[names, names].to_numpy()
    counts = {
        "joined": int(matrix.loc[JOINED].sum()),
        "left": int(matrix[LEFT].sum()),
        "stayed": int(np.trace(both)),
        "moved": int(both.sum() - np.trace(both)),
        "viewers_before": int(frame["before"].sum()),
        "viewers_now": int(frame["after"].sum()),
    }
    cells = suppress(matrix, min_cell).rename_axis(columns=None).reset_index()
    across = {name: rules.titles.get(name, name) for name in names}
    labels = {"before": "before, down; now, across", **across, LEFT: "left"}
    shown = _without_few(counts, min_cell)
    went = f"{fewer(counts['joined'], min_cell)} joined, {fewer(counts['left'], min_cell)} left, "
    if shown["moved"] is None:
        went += f"and fewer than {min_cell} moved to another cluster or stayed in theirs."
    else:
        went += f"{counts['moved']:,} moved to another cluster and {counts['stayed']:,} stayed."
    moves = part(
        went[0].upper() + went[1:],
        cells,
        labels,
        f"Viewers. Cells under {min_cell} are not shown, nor those that would tell them.",
        **shown,
    )
    finding = _change_finding(frame, rules, since)
    if counts["stayed"] and counts["stayed"] == counts["viewers_before"] == counts["viewers_now"]:
        finding = f"Nothing has changed among viewers since {since}: the same in the same clusters."
    return part(finding, frame, SHARES, note, more={"migration": moves}, **shown, **figures)


def _without_few(counts: dict[str, int], min_cell: int) -> dict[str, int | None]:
    """The counts without those of few people, and without what would tell them by subtraction."""
    shown = {name: None if is_few(count, min_cell) else count for name, count in counts.items()}
    if None in (shown["moved"], shown["stayed"]):
        shown |= {"moved": None, "stayed": None}
    return shown


def _change_finding(frame: pd.DataFrame, rules: ClusterRules, since: str) -> str:
    if not frame["before"].sum():
        return f"Nothing to compare with: no viewer had a session in the time up to {since}."
    if not frame["after"].sum():
        return f"No viewer is left to compare with those up to {since}."
    if min(frame["before"].sum(), frame["after"].sum()) < TOO_FEW:
        return (
            f"Too few viewers to compare with {since}: {frame['before'].sum():,} then and "
            f"{frame['after'].sum():,} now."
        )
    changed = frame[frame["changed"]]
    if changed.empty:
        return f"No cluster's share has changed since {since} beyond what chance explains."
    top = changed.loc[changed["difference"].abs().idxmax()]
    return (
        f"{rules.titles.get(top['cluster'], top['cluster'])} went from "
        f"{whole_percent(top['share_before'])} to {whole_percent(top['share_after'])} of viewers "
        f"since {since} (difference {top['difference'] * 100:+.1f} points, 95 % interval "
        f"{top['low'] * 100:+.1f} to {top['high'] * 100:+.1f}); "
        f"{len(changed)} of {len(frame)} clusters changed."
    )


def previous_run(run: Run) -> tuple[Path, dict] | None:
    """Folder and run.json of the newest done run of the account before this one."""
    from helpers.core.folders import newest_first

    own = run.find("viewers.parquet")
    runs = [
        (folder, manifest.model_dump())
        for folder, manifest in newest_first(run.settings.outputs, run.account)
    ]
    place = next((n for n, (folder, _) in enumerate(runs) if folder == run.folder), -1)
    for folder, manifest in runs[place + 1 :]:
        path = folder / "data" / "viewers.parquet"
        if manifest.get("status") == "done" and path.is_file() and path != own:
            return folder, manifest
    return None


def against_run(
    con: Engine,
    viewers: Path,
    manifest: dict[str, Any],
    window: Window,
    rules: ClusterRules,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Part: this run against an earlier one, the real change told apart from changed settings.

    A share may differ because the rules did, because the window or the selection of videos and
    people did, or because viewers did. The earlier viewers are named again by today's rules, then
    (if the window's length or the selection differs) made again from the store with today's; what
    is left is the change of behaviour, with its interval.

    Parameters
    ----------
    viewers : Path
        data/viewers.parquet of the earlier run.
    manifest : dict
        Its run.json: window, parameters, rules, source.
    params : dict
        Parameters of this run: media_ids, exclude_domains, min_cell.
    """
    name, min_cell = viewers.parent.parent.name, params["min_cell"]
    con.show("reported", viewers)
    con.each(
        "CREATE OR REPLACE TEMP TABLE baseline AS "
        f"SELECT visitor_key, {rules.case_sql()} AS cluster FROM reported"
    )
    before = _shares(con, "reported")
    renamed = _shares(con, "baseline")
    con.gather(
        "SELECT count(*) AS viewers FROM reported JOIN baseline USING (visitor_key) "
        "WHERE reported.cluster <> baseline.cluster",
        "renamed",
    )
    moved = int(con.execute("SELECT sum(viewers) FROM renamed").fetchall()[0][0])
    was = Window.from_dict(manifest["window"])
    reasons = _settings_changed(manifest, was, window, params)
    known = True
    if reasons:
        start = was.end - timedelta(window.days - 1)
        known = _store_covers(con, start, min(was.start, window.start), window.days)
        if known:
            period_viewers(con, "baseline", start, was.end, rules)
    matrix = migration(con, "baseline", "viewers", rules.names)
    note = f"Earlier run {name}, window {was.start} to {was.end}. " + _told_apart(
        moved, reasons, known
    )
    result = _comparison(
        matrix, rules, min_cell, note, f"run {name}", run=name, rules_changed=moved > 0,
        moved_by_rules=moved, settings_changed=reasons, comparable=known,
    )  # fmt: skip
    if not known:
        result["finding"] = f"Run {name} is not comparable: {', '.join(reasons)}."
        for row in result["rows"]:
            row["changed"] = None
    elif moved or reasons:
        result["finding"] = f"{_not_viewers(moved, reasons, name, min_cell)} {result['finding']}"
    table = pd.DataFrame({"cluster": matrix.index[:-1]}).set_index("cluster")
    remade, now = _shares(con, "baseline"), _shares(con, "viewers")
    table["reported"], table["now"] = before, now
    steps = [share.reindex(table.index).fillna(0) for share in (before, renamed, remade, now)]
    table["by_rules"] = steps[1] - steps[0]
    table["by_settings"] = steps[2] - steps[1]
    table["by_viewers"] = steps[3] - steps[2]
    result["more"]["causes"] = part(
        "Part of the difference comes from changed settings, not from viewers."
        if moved or reasons
        else "Rules, window length and selection are the same: the difference is the viewers' own.",
        table.reset_index(),
        "cluster reported by_rules by_settings by_viewers now",
        "Shares of viewers; the three steps, in percentage points, add up from then to now.",
        settings_differ=bool(moved or reasons),
    )
    return result


def _shares(con: Engine, table: str) -> pd.Series:
    con.gather(f"SELECT cluster, count(*) AS viewers FROM {table} GROUP BY 1", "sizes")
    counts = con.execute("SELECT cluster, sum(viewers)::BIGINT AS viewers FROM sizes GROUP BY 1")
    counts = counts.df().set_index("cluster")["viewers"]
    return counts / max(counts.sum(), 1)


def _settings_changed(manifest, was: Window, window: Window, params) -> list[str]:
    earlier = manifest.get("parameters", {})
    reasons = [f"window of {was.days} and {window.days} days"] if was.days != window.days else []
    for key in ("media_ids", "exclude_domains"):
        if sorted(earlier.get(key) or []) != sorted(params.get(key) or []):
            reasons.append(key)
    return reasons


def _store_covers(con: Engine, start: date, fetched_from: date, days: int) -> bool:
    """Whether the store holds the days from ``start``, but for a tenth of the window."""
    first, _ = _days_held(con)
    reaches = first is not None and first <= start
    return reaches or (fetched_from - start).days <= days / 10


def _told_apart(moved: int, reasons: list[str], known: bool) -> str:
    said = []
    if moved:
        said.append(
            f"The rules differ: {people(moved)} of that run would be named otherwise today; "
            "both sides are compared under today's rules."
        )
    if reasons and known:
        said.append(f"Also changed: {', '.join(reasons)}; the earlier side was made again.")
    if reasons and not known:
        said.append(
            f"Also changed: {', '.join(reasons)}; the store does not reach back far enough to make "
            "the earlier side again, so the difference is not the viewers' alone."
        )
    return " ".join(said) or "Same rules, window length, selection and source."


def _not_viewers(moved: int, reasons: list[str], name: str, min_cell: int) -> str:
    """What of a change is none of the viewers', told before what is."""
    said = []
    if moved:
        count, other = fewer(moved, min_cell), "viewer" if moved == 1 else "viewers"
        said.append(f"the rules ({count} {other} would be named otherwise)")
    if reasons:
        said.append(f"settings ({', '.join(reasons)})")
    told = " and ".join(said)
    return f"{told[0].upper()}{told[1:]} changed since run {name}. With today's for both:"


def since_last_run(run: Run, con: Engine, rules: ClusterRules) -> dict[str, Any]:
    """The part ``change``: against the run before, with the period before under ``more``."""
    params, window = run.params.model_dump(), run.window
    period = against_period(con, window, rules, min_cell=params["min_cell"])
    found = previous_run(run)
    if found is None:
        result = part("There is no earlier run to compare with.", columns=SHARES)
    elif (known := found[1].get("source", {}).get("wistia")) != run.source.wistia:
        result = part(
            f"The earlier run {found[0].name} is not comparable: its viewers came from Wistia "
            f"{known}, these from {run.source.wistia}.",
            columns=SHARES,
        )
    else:
        path = found[0] / "data" / "viewers.parquet"
        result = against_run(con, path, found[1], window, rules, params)
    result["more"]["period"] = period
    return result
