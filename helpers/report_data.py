"""report.json: every number of the report, read from the files of a run folder alone."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from helpers import disclosure, rules
from helpers.disclosure import span, whole_percent, wilson
from helpers.engine import quoted
from helpers.errors import DataError, KitError
from helpers.run import read_manifest

SCHEMA_VERSION = 1
TOO_FEW = 30  # viewers; an interval of a share is then up to 36 points wide
BUCKETS = {1: "1", 2: "2", 3: "3–4", 5: "5–9", 10: "10+"}
RECENCY = {2: "last 48 hours", 7: "3 to 7 days", 30: "8 to 30 days", 10**6: "longer ago"}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHOWN_VIDEOS = 12
SAMPLE = {
    ("sandbox", "sandbox"): (
        "Invented sample data",
        "No real viewer is in this report. Wistia was the sandbox, which invents viewers; Mavera "
        "was the sandbox too: personas and Mave's answer are simulated, and credits are play money.",
    ),
    ("sandbox", "live"): (
        "Invented viewers",
        "Wistia was the sandbox, which invents viewers. Mavera was live: its personas and advice "
        "were bought, and they are about people who do not exist.",
    ),
    ("live", "sandbox"): (
        "Simulated advice",
        "The viewers are real. Mavera was the sandbox: personas and Mave's answer are simulated, "
        "and credits are play money. Do not act on the advice.",
    ),
}


def gather(folder: Path) -> dict[str, Any]:
    """Everything the report says, by section.

    Parameters
    ----------
    folder : Path
        A run folder whose stages 01 to 03 are done; what later ones lack is said in a sentence.

    Returns
    -------
    dict
        schema_version and the ten sections; each has a ``finding`` in words. Shares run from 0 to
        1, percents from 0 to 100; a cell hidden by ``min_cell`` is null.

    Raises
    ------
    DataError
        run.json or clusters.csv is missing or broken.
    """
    source = _Files(folder)
    sections = {
        "answer": None, "clusters": _clusters(source), "content": _content(source),
        "change": _insight(source, "change"), "people": _people(source),
        "personas": _personas(source), "advice": _advice(source),
        "stability": _stability(source), "method": _method(source), "stamp": _stamp(source),
    }  # fmt: skip
    sections["answer"] = _answer(source, sections)
    return _rounded({"schema_version": SCHEMA_VERSION, **sections})


class _Files:
    """The files of a run folder, read once."""

    def __init__(self, folder: Path):
        self.folder, self.manifest = folder, read_manifest(folder)
        if not self.manifest:
            raise DataError(
                f"Report of {folder.name}: run.json is missing or broken. A run folder has one. "
                "Run `viewer-personas runs` for the folders there are."
            )
        self.params = self.manifest.get("parameters", {})
        self.min_cell = max(int(self.params.get("min_cell", 10)), 1)
        self.clusters = self.table("clusters.csv")
        if self.clusters is None:
            raise DataError(
                f"Report of {folder.name}: data/clusters.csv is missing. Stage 03 writes it. Go on "
                f"with `viewer-personas run --resume {folder.name}`."
            )
        self.insights = self.json("insights.json")
        try:
            self.rules = rules.load(self.params.get("clusters_file", ""), folder=folder).clusters
        except KitError:  # the file was moved since: names and numbers are in the run folder
            self.rules = []
        named = {rule.name: rule.title for rule in self.rules}
        names = self.clusters["cluster"]
        self.titles = {name: named.get(name, name.replace("_", " ").title()) for name in names}

    @property
    def viewers(self) -> int:
        return int(self.clusters["viewers"].sum())

    @property
    def end(self) -> date:
        return date.fromisoformat(self.manifest["window"]["end_date"])

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of data/; empty when it is missing or broken."""
        try:
            return json.loads((self.folder / "data" / name).read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def table(self, name: str) -> pd.DataFrame | None:
        """A CSV of data/, with text cells as they were before they were disarmed."""
        path = self.folder / "data" / name
        if not path.is_file():
            return None
        texts = dict.fromkeys(("cluster", "media_id", "title", "weekday"), "str")
        frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
        for column in frame.columns.intersection(["title", "cluster"]):
            frame[column] = frame[column].str.removeprefix("'")
        return frame

    def ask(self, query: str) -> pd.DataFrame:
        """An aggregate over viewers.parquet, named ``viewers`` in the query."""
        path = self.folder / "data" / "viewers.parquet"
        if not path.is_file():
            return pd.DataFrame()
        with duckdb.connect() as engine:
            engine.execute("SET TimeZone = 'UTC'")
            return engine.execute(query.format(viewers=f"read_parquet({quoted(path)})")).df()


def _clusters(source: _Files) -> dict[str, Any]:
    total, about = source.viewers, {rule.name: rule for rule in source.rules}
    *ruled, rest = [source.rules[-1].name] if source.rules else [None]
    rows = []
    for row in source.clusters.to_dict("records"):
        rule = about.get(row["cluster"])
        low, high = wilson(row["viewers"], total) or (None, None)
        known = wilson(row["identified_viewers"], row["viewers"]) or (None, None)
        rows.append({
            **row, "title": source.titles[row["cluster"]], "low": low, "high": high,
            "identified_low": known[0], "identified_high": known[1],
            "few": row["viewers"] < TOO_FEW, "description": rule.description if rule else "",
            "rule": rule.when or "everyone else" if rule else "",
        })  # fmt: skip
    del ruled, rest
    if not total:
        finding = "No viewers in the window, so no clusters."
    else:
        big = max(rows, key=lambda row: row["viewers"])
        finding = (
            f"{big['title']} are the largest cluster: {big['viewers']:,} of {total:,} viewers, "
            f"{whole_percent(big['share'])} (95 % interval {span(big['low'], big['high'])})."
        )
    return {"finding": finding, "viewers": total, "rows": rows,
            "completion": _completion(source), "times": _times(source)}  # fmt: skip


def _completion(source: _Files) -> dict[str, Any]:
    """Viewers and mean completion by cluster and number of videos; small groups are hidden."""
    starts = sorted(BUCKETS, reverse=True)
    bucket = " ".join(f"WHEN video_count >= {start} THEN {start}" for start in starts)
    cells = source.ask(
        f"SELECT cluster, CASE {bucket} END AS videos, count(*) AS viewers, "
        "avg(avg_percent_watched) AS percent FROM {viewers} GROUP BY ALL"
    )
    if cells.empty:
        return {"finding": "No viewers to tell how much they watched.", "videos": [], "rows": []}
    counts = cells.pivot(index="cluster", columns="videos", values="viewers")
    counts = counts.reindex(index=list(source.titles), columns=list(BUCKETS)).fillna(0).astype(int)
    shown = disclosure.suppress(counts, source.min_cell)
    means = cells.set_index(["cluster", "videos"])["percent"]
    rows = []
    for cluster, line in shown.iterrows():
        row = [_cell(number, means.get((cluster, start))) for start, number in line.items()]
        rows.append({"cluster": cluster, "title": source.titles[cluster], "cells": row})
    all_means = (cells["percent"] * cells["viewers"]).sum() / cells["viewers"].sum()
    one = counts[1].sum() / counts.to_numpy().sum()
    finding = (
        f"{whole_percent(one)} of viewers watched one video; on average a viewer saw "
        f"{all_means:.0f} % of each video."
    )
    return {"finding": finding, "videos": list(BUCKETS.values()), "rows": rows}


def _cell(viewers: Any, percent: float | None) -> dict[str, Any] | None:
    if pd.isna(viewers):
        return None
    return {"viewers": int(viewers), "percent": float(percent) if viewers else None}


def _times(source: _Files) -> dict[str, Any]:
    """Sessions by weekday and hour; hours with fewer sessions than ``min_cell`` are hidden."""
    zone, table = source.params.get("time_zone", "UTC"), source.table("watch_times.csv")
    if table is None or not table["sessions"].sum():
        return {"finding": "No sessions to tell when people watched.", "zone": zone, "rows": []}
    grid = table.pivot_table(index="weekday", columns="hour", values="sessions", aggfunc="sum")
    grid = grid.reindex(index=WEEKDAYS, columns=range(24)).fillna(0)
    day, hour = grid.stack().idxmax()
    total, most = int(grid.to_numpy().sum()), int(grid.to_numpy().max())
    shown = grid.astype("Int64").mask((grid > 0) & (grid < source.min_cell))
    finding = "Sessions are too few to tell an hour when people watch."
    if most >= source.min_cell:
        finding = (
            f"The busiest hour is {day} {hour}:00 ({zone}), with {most:,} of {total:,} sessions."
        )
    rows = [{"weekday": name, "hours": list(line)} for name, line in shown.iterrows()]
    return {"finding": finding, "zone": zone, "sessions": total, "most": most, "rows": rows}


def _content(source: _Files) -> dict[str, Any]:
    table, insight = source.table("affinity.csv"), _insight(source, "content")
    base = {"videos": [], "more": {"content": insight}}
    for name in ("sources", "conversions"):
        base["more"][name] = _insight(source, name)
    if table is None or table.empty:
        least = f"at least {source.min_cell} viewers in one cluster"
        return {"finding": f"No video has {least}, so none is shown.", **base}
    counts = table.pivot_table(index="media_id", columns="cluster", values="viewers", aggfunc="max")
    counts = counts.reindex(columns=list(source.titles)).fillna(0).astype(int)
    top = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:SHOWN_VIDEOS]
    sizes = source.clusters.set_index("cluster")["viewers"]
    titles = table.drop_duplicates("media_id").set_index("media_id")["title"]
    for media in top:
        # cells that the table leaves out are under min_cell already: they count as hidden
        cells = [_reach(counts.at[media, name], sizes[name], source.min_cell) for name in counts]
        title = titles[media] if isinstance(titles[media], str) else media
        base["videos"].append({"media_id": media, "title": title, "cells": cells})
    best = max(
        (cell["reach"], video["title"], name)
        for video in base["videos"]
        for name, cell in zip(counts.columns, video["cells"], strict=True)
        if cell
    )
    finding = f"{whole_percent(best[0])} of {source.titles[best[2]]} watched “{best[1]}”."
    return {"finding": insight["finding"] if insight["known"] else finding, **base}


def _reach(viewers: int, size: int, min_cell: int) -> dict[str, Any] | None:
    if viewers < min_cell:
        return None
    low, high = wilson(viewers, size)
    return {"viewers": int(viewers), "reach": viewers / size, "low": low, "high": high}


def _people(source: _Files) -> dict[str, Any]:
    """How many identified people there are to write to, by cluster and by how long ago."""
    now = datetime.combine(source.end + timedelta(days=1), time())
    days = " ".join(
        f"WHEN last_active >= TIMESTAMPTZ '{now}+00' - INTERVAL {day} DAY THEN {day}"
        for day in list(RECENCY)[:-1]
    )
    cells = source.ask(
        f"SELECT cluster, CASE {days} ELSE {list(RECENCY)[-1]} END AS ago, count(*) AS viewers "
        "FROM {viewers} WHERE identified GROUP BY ALL"
    )
    total = int(source.clusters["identified_viewers"].sum())
    rows = []
    if len(cells):
        grid = cells.pivot(index="cluster", columns="ago", values="viewers")
        grid = grid.reindex(index=list(source.titles), columns=list(RECENCY)).fillna(0).astype(int)
        shown = disclosure.suppress(grid, source.min_cell)
        rows = [
            {"cluster": name, "title": source.titles[name], "identified": int(grid.loc[name].sum()),
             "cells": list(line), "file": f"private/outreach_{name}.csv"}
            for name, line in shown.iterrows()
        ]  # fmt: skip
    insight = _insight(source, "outreach")
    share = total / source.viewers if source.viewers else None
    finding = "Nobody is identified, so there is nobody to write to by name."
    if total:
        finding = (
            f"{total:,} of {source.viewers:,} viewers are identified, {whole_percent(share)} "
            f"(95 % interval {span(*wilson(total, source.viewers))})."
        )
    return {
        "finding": insight["finding"] if insight["known"] else finding, "identified": total,
        "now": source.end.isoformat(), "recency": list(RECENCY.values()), "rows": rows,
        "more": {"outreach": insight, "companies": _insight(source, "companies")},
        "names": _names(source),
    }  # fmt: skip


def _names(source: _Files, *, most: int = 10) -> list[dict[str, Any]]:
    """The first people of each private list, when the run may show identities."""
    if not source.params.get("show_identities"):
        return []
    lists = []
    for cluster, title in source.titles.items():
        path = source.folder / "private" / f"outreach_{cluster}.csv"
        if path.is_file():
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, nrows=most)
            rows = [[cell.removeprefix("'") for cell in row] for row in frame.to_numpy().tolist()]
            if rows:
                lists.append({"title": title, "columns": list(frame.columns), "rows": rows})
    return lists


def _personas(source: _Files) -> dict[str, Any]:
    known, analysis = source.json("personas.json"), source.json("analysis.json")
    said, replies = analysis.get("by_cluster") or {}, {}
    for reply in analysis.get("replies") or []:
        replies[reply.get("cluster")] = reply
    cards = [
        {
            **{key: card.get(key) for key in ("cluster", "name", "status", "persona_id", "credits",
                                              "description")},
            "title": source.titles.get(card["cluster"], card.get("title") or card["cluster"]),
            "facts": [_sentence(fact) for fact in card.get("facts") or []],
            "advice": said.get(card["cluster"]), "reply": replies.get(card["cluster"]),
        }
        for card in known.get("personas") or []
    ]  # fmt: skip
    bought = sum(card["status"] in ("bought", "updated") for card in cards)
    drafts = sum(card["status"] == "draft" for card in cards)
    finding = "No cluster has viewers, so there are no personas."
    if cards and drafts == len(cards):
        finding = f"{drafts} persona drafts, none bought: max_credits is 0, so nothing was spent."
    elif cards:
        reused = len(cards) - bought - drafts
        credits = sum(card["credits"] or 0 for card in cards)
        finding = (
            f"{len(cards)} personas at Mavera: {bought} new or updated, {reused} reused, "
            f"{drafts} still drafts; {credits:,} credits."
        )
    elif source.viewers:
        finding = "Personas were not made in this run."
    return {"finding": finding, "pipeline": known.get("pipeline"), "cards": cards}


def _sentence(fact: Any) -> str:
    return str(fact.get("text", "")) if isinstance(fact, dict) else str(fact)


def _advice(source: _Files) -> dict[str, Any]:
    known = source.json("analysis.json")
    status = known.get("status") or "not_asked"
    finding = {
        "answered": "Mave answered with advice for each cluster.",
        "clarifying": "Mave asked a question back instead of giving advice.",
    }.get(
        status, "Mave was not asked in this run: its credits were not allowed, or nobody watched."
    )
    if known.get("reused"):
        finding += f" The answer is of {known.get('asked_on')}: the numbers are the same since."
    plain = ("question", "answer", "closing", "asked_on", "credits", "thread_id", "confidence")
    replies = [reply for reply in known.get("replies") or [] if not reply.get("cluster")]
    return {
        "finding": finding, "status": status, "reused": bool(known.get("reused")),
        **{key: known.get(key) for key in plain}, "replies": replies,
        "sources": [link for link in known.get("sources") or [] if _is_web(link.get("url"))],
        "unsupported_figures": list(known.get("unsupported_figures") or []),
    }  # fmt: skip


def _is_web(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(("https://", "http://"))


def _stability(source: _Files) -> dict[str, Any]:
    found = _insight(source, "stability")
    rows = [
        {"title": source.titles[row["cluster"]], "cluster": row["cluster"], "viewers": row["viewers"],
         "share": row["share"], "few": row["viewers"] < TOO_FEW,
         **dict(zip(("low", "high"), wilson(row["viewers"], source.viewers) or (None, None),
                    strict=True))}
        for row in source.clusters.to_dict("records")
    ]  # fmt: skip
    return {**found, "shares": rows, "more": {**found["more"],
            "discovery": _insight(source, "discovery")}}  # fmt: skip


def _method(source: _Files) -> dict[str, Any]:
    counts, manifest = source.manifest.get("counts", {}), source.manifest
    labels = {
        "session_rows": "session rows fetched in the window",
        "repeated_rows": "dropped: the same event_key again",
        "left_out_sessions": "left out: other videos or excluded domains",
        "sessions": "sessions that count",
        "viewers": "viewers: a visitor_key with a session in the window",
        "identified_viewers": "identified viewers: an e-mail is known",
        "viewers_without_visitor_row": "viewers without a row in Wistia's visitor list",
        "visitors": "visitors of the account",
        "visitors_without_session": "visitors without a session that counts: counted, not clustered",
    }
    known = {"repeated_rows": manifest.get("repeated_rows"), **counts}
    rows = [{"what": label, "rows": known[key]} for key, label in labels.items()
            if isinstance(known.get(key), int)]  # fmt: skip
    return {
        "finding": f"{known.get('sessions') or 0:,} viewing sessions are the ground of this report.",
        "rows": rows, "min_cell": source.min_cell, "now": source.end.isoformat(),
        "rules": [{"title": rule.title, "when": rule.when or "everyone else"}
                  for rule in source.rules],
        "more": {"coverage": _insight(source, "coverage")},
    }  # fmt: skip


def _stamp(source: _Files) -> dict[str, Any]:
    manifest = source.manifest
    services = {name: manifest.get("source", {}).get(name, "live") for name in ("wistia", "mavera")}
    keys = ("account", "window", "parameters", "counts", "requests", "retries", "repeated_rows",
            "dropped_rows", "credits", "versions", "rules")  # fmt: skip
    seconds = {name: stage.get("seconds") for name, stage in manifest.get("stages", {}).items()}
    banner = SAMPLE.get((services["wistia"], services["mavera"]))
    return {
        "finding": f"Run {source.folder.name} of account {manifest.get('account')}.",
        "run": source.folder.name, "source": services, "banner": list(banner) if banner else None,
        **{key: manifest.get(key) for key in keys}, "stage_seconds": seconds,
    }  # fmt: skip


def _answer(source: _Files, sections: dict[str, Any]) -> dict[str, Any]:
    """The first screen: who, whom to call, what changed, what to do."""
    total, rows = source.viewers, sections["clusters"]["rows"]
    first = next((row for row in rows if row["identified_viewers"]), None)
    call = {
        "cluster": None,
        "people": 0,
        "finding": "Nobody is identified: there is no one to call.",
    }
    if first:
        count, title = first["identified_viewers"], first["title"]
        call = {
            "cluster": first["cluster"], "people": count,
            "finding": f"{count:,} identified {title} are the first to call.",
        }  # fmt: skip
    outreach = sections["people"]["more"]["outreach"]
    if outreach["known"]:
        call["finding"] = outreach["finding"]
    advice, closing = sections["advice"], sections["advice"]["closing"]
    action = {"by": "Mave", "text": closing} if closing and advice["status"] == "answered" else {
        "by": None, "text": _own_action(call, first)}  # fmt: skip
    headline = "No viewers in the window"
    if total:
        kinds = sum(row["viewers"] > 0 for row in rows)
        headline = f"{total:,} viewers in {kinds} cluster{'s' if kinds > 1 else ''}"
        headline += f", {call['people']:,} worth a call" if call["people"] else ""
    return {
        "finding": f"{headline}.", "headline": headline, "viewers": total,
        "visitors": source.manifest.get("counts", {}).get("visitors"),
        "identified_viewers": int(source.clusters["identified_viewers"].sum()),
        "sessions": source.manifest.get("counts", {}).get("sessions"),
        "clusters": [{key: row[key] for key in ("cluster", "title", "viewers", "share", "low",
                                                "high")} for row in rows],
        "call": call, "change": sections["change"]["finding"], "action": action,
    }  # fmt: skip


def _own_action(call: dict, first: dict | None) -> str:
    if not first:
        return "Put an e-mail gate on your most-watched video, so that viewers can be written to."
    return (
        f"Call the people of private/{'outreach_' + first['cluster']}.csv, freshest first, within "
        "48 hours of their last view."
    )


MISSING = {
    "content": "Content affinity was not reckoned in this run.",
    "change": "This is the first run of the account: there is nothing to compare with yet.",
    "stability": "How steady the labels are was not reckoned in this run.",
    "discovery": "Whether the data show clusters of their own was not reckoned in this run.",
    "outreach": "The lists of people to call were not made in this run.",
    "companies": "Companies of the identified viewers were not reckoned in this run.",
    "sources": "Where viewers came from was not reckoned in this run.",
    "conversions": "Conversions were not reckoned in this run.",
    "coverage": "Coverage of the data was not reckoned in this run.",
}


def _insight(source: _Files, name: str) -> dict[str, Any]:
    """A part of insights.json in full form; a missing one says so."""
    return part(source.insights.get(name), MISSING[name])


def part(given: Any, missing: str) -> dict[str, Any]:
    """A part with every key: finding, rows, columns, note, figures, more, known."""
    given = given if isinstance(given, dict) else {}
    columns = given.get("columns") or {}
    rows = [row for row in given.get("rows") or [] if isinstance(row, dict)]
    more = given.get("more") if isinstance(given.get("more"), dict) else {}
    return {
        "known": bool(given.get("finding")), "finding": given.get("finding") or missing,
        "columns": columns or {key: key.replace("_", " ") for row in rows[:1] for key in row},
        "rows": rows, "note": given.get("note") or "", "figures": given.get("figures") or {},
        "more": {key: part(value, "Not reckoned.") for key, value in more.items()},
    }  # fmt: skip


def _rounded(value: Any) -> Any:
    """Plain JSON values; floats to six digits, so that the same input gives the same bytes."""
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
