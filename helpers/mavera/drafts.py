"""What may be said of a cluster: its numbers, each of at least ``min_cell`` viewers."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from helpers import cluster
from helpers.mavera import payloads
from helpers.mavera.payloads import ClusterNumbers
from helpers.run import Run
from helpers.store import engine
from helpers.store.rules import ClusterRules

POINTS = ("p10", "p50", "p90")
WHERE = {
    "description": "clusters file: description",
    "viewers": "clusters.csv: viewers, share",
    "videos_per_viewer": "viewers: video_count at 10, 50, 90 %",
    "percent_watched": "viewers: avg_percent_watched at 10, 50, 90 %",
    "visits_per_viewer": "viewers: total_visits at 10, 50, 90 %",
    "most_active": "sessions: viewers by part of the week",
    "mobile": "sessions: viewers with a mobile session",
    "countries": "viewers: country",
    "top_videos": "affinity.csv: title, viewers",
}
"""Where each statement of a draft comes from."""


def of_clusters(run: Run) -> list[ClusterNumbers]:
    """Each cluster that has viewers, in the order of the rules.

    A cluster under ``min_cell`` viewers keeps its title, rule and description and no number, and
    so does a part of a cluster: a country, a device, a part of the week, a video.

    Raises
    ------
    DataError
        Stage 03 has not run, or a number is out of its range.
    """
    known = getattr(run, "_measures", None)
    if known is None:  # the stages that read them do not change them
        known = run._measures = _of_clusters(run)
    return known


def rules_of(run: Run) -> ClusterRules:
    """The clusters file of the run, read once."""
    known = getattr(run, "_rules", None)
    if known is None:
        known = run._rules = cluster.rules_of(run)
    return known


def _of_clusters(run: Run) -> list[ClusterNumbers]:
    table, least = cluster.read_table(run), run.params.min_cell
    large = table.index[table["viewers"] >= least]
    spreads, parts, videos = _spreads(run), _parts(run, table), _videos(run)
    found = []
    for rule in rules_of(run).clusters:
        if rule.name not in table.index or not table.at[rule.name, "viewers"]:
            continue
        about = {"cluster": rule.name, "title": rule.title, "description": rule.description}
        about["rule"] = payloads.rule_text(rule.when)
        if rule.name in large:
            about |= _means(table.loc[rule.name], least) | spreads[rule.name]
            about |= parts.get(rule.name, {}) | {"top_videos": videos.get(rule.name)}
        found.append(about)
    return payloads.clusters(found)


def _means(row: pd.Series, least: int) -> dict[str, Any]:
    viewers, identified = int(row["viewers"]), int(row["identified_viewers"])
    means = {
        "viewers": viewers,
        "share": round(row["share"], 4),
        "avg_videos": round(row["avg_videos"], 2),
        "avg_percent_watched": round(row["avg_percent_watched"], 1),
        "avg_visits": round(row["avg_visits"], 2),
    }
    if all(count == 0 or count >= least for count in (identified, viewers - identified)):
        means |= {
            "identified_viewers": identified,
            "identified_share": round(row["identified_share"], 4),
        }
    return means


def _spreads(run: Run) -> dict[str, dict]:
    frame = run.engine.execute(engine.sql("cluster_spreads")).df().set_index("cluster")
    return {
        name: {
            column: dict(zip(POINTS, (round(float(value), 1) for value in values), strict=True))
            for column, values in row.items()
        }
        for name, row in frame.iterrows()
    }


def _parts(run: Run, table: pd.DataFrame) -> dict[str, dict]:
    """countries (three at most), mobile and most_active, where enough viewers are in them."""
    con = run.engine
    con.gather(engine.sql("cluster_parts"), "cluster_parts", {"zone": run.params.time_zone})
    rows = con.execute(
        "SELECT kind, cluster, name, sum(viewers)::BIGINT AS viewers FROM cluster_parts "
        "GROUP BY ALL HAVING sum(viewers) >= $least ORDER BY kind, cluster, viewers DESC, name",
        {"least": run.params.min_cell},
    ).df()
    found: dict[str, dict] = {}
    for row in rows.itertuples():
        share = round(row.viewers / table.at[row.cluster, "viewers"], 4)
        part = {"name": row.name, "viewers": int(row.viewers), "share": share}
        known = found.setdefault(row.cluster, {})
        if row.kind == "countries":
            known["countries"] = [*known.get("countries", []), part][:3]
        else:
            known.setdefault(row.kind, part)
    return found


def _videos(run: Run) -> dict[str, list[dict]]:
    """Up to five videos that most of a cluster's viewers watched, of affinity.csv."""
    path = run.find("affinity.csv")
    if path is None:
        return {}
    rows = pd.read_csv(path, dtype={"cluster": str, "media_id": str, "title": str})
    rows = rows[(rows["viewers"] >= run.params.min_cell) & rows["title"].notna()]
    rows = rows.sort_values(["cluster", "viewers", "media_id"], ascending=[True, False, True])
    return {
        name: [
            {
                "title": re.sub(r"^'(?=[=+@\-])", "", row.title),
                "viewers": int(row.viewers),
                "avg_percent_watched": round(row.avg_percent_watched, 1),
            }
            for row in group.head(5).itertuples()
        ]
        for name, group in rows.groupby("cluster")
    }


def statements(known: ClusterNumbers, *, days: int, zone: str) -> list[dict[str, str]]:
    """Sentences of a persona's draft, each with the number or file it comes from.

    Returns
    -------
    list of {"text", "from"}; a cluster without measurements has its description alone.
    """
    said = {"description": known.description}
    if known.viewers is not None:
        said["viewers"] = (
            f"{known.viewers:,} viewers, {known.share:.1%} of all, measured over {days} days."
        )
        for name, what, unit in (
            ("videos_per_viewer", "Videos watched by a viewer", ""),
            ("percent_watched", "Share of a video watched", " %"),
            ("visits_per_viewer", "Visits of a viewer", ""),
        ):
            p10, p50, p90 = (f"{value:g}" for value in getattr(known, name).body().values())
            said[name] = f"{what} at the 10, 50 and 90 % points: {p10}, {p50} and {p90}{unit}."
        if known.most_active:
            part = known.most_active
            said["most_active"] = (
                f"Most active {part.name} ({zone}), when {part.share:.0%} of them watched."
            )
        if known.mobile:
            said["mobile"] = f"{known.mobile.share:.0%} of them watch on a mobile device."
        if known.countries:
            names = ", ".join(f"{part.name} {part.share:.0%}" for part in known.countries)
            said["countries"] = f"Countries: {names}."
        if known.top_videos:
            titles = "; ".join(f"“{video.title}” ({video.viewers})" for video in known.top_videos)
            said["top_videos"] = f"Most watched videos (viewers): {titles}."
    return [{"text": text, "from": WHERE[name]} for name, text in said.items() if text]


def differ(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a draft changed materially since the persona was made or last updated.

    Material: any text but measured ones; a number that moved by more than a tenth and by more than
    1 (shares: 0.05); another part of the week, country first or three videos first.
    """
    was, now = _compared(old), _compared(new)
    return was.keys() != now.keys() or any(_moved(was[key], now[key]) for key in was)


def _compared(facts: dict[str, Any]) -> dict[str, Any]:
    """What counts of a draft's facts: text or number by name."""
    known = {"fields": facts.get("fields"), **facts.get("numbers", {})}
    for name in ("mobile", "identified_viewers", "identified_share"):  # may come and go
        known.pop(name, None)
    known["most_active"] = (known.get("most_active") or {}).get("name")
    known["countries"] = [part["name"] for part in known.get("countries") or []][:1]
    known["top_videos"] = sorted(video["title"] for video in (known.get("top_videos") or [])[:3])
    for name in list(known):
        if name in ("videos_per_viewer", "percent_watched", "visits_per_viewer"):
            known |= {f"{name} {point}": value for point, value in known.pop(name).items()}
    return known


def _moved(was: Any, now: Any) -> bool:
    if not isinstance(was, int | float) or not isinstance(now, int | float):
        return was != now
    least = 0.05 if max(was, now) <= 1 else 1
    return abs(was - now) > max(least, 0.1 * max(was, now))
