"""report.json: every number of the report, read from the files of a run folder alone."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from helpers.core.errors import DataError, KitError
from helpers.core.folders import read_manifest
from helpers.findings import conversions, disclosure
from helpers.findings.disclosure import share_of, wilson
from helpers.findings.section import TOO_FEW, part, people, plain
from helpers.store import rules
from helpers.store.engine import quoted

SCHEMA_VERSION = 1
BUCKETS = {1: "1", 2: "2", 3: "3–4", 5: "5–9", 10: "10+"}
RECENCY = {7: "last 7 days", 30: "8 to 30 days", 99_999: "longer ago"}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST_VIDEOS, MOST_NAMES = 12, 10
MISSING = {
    "content": "What each cluster prefers was", "stability": "How steady the labels are was",
    "discovery": "Whether the data form clusters of their own was", "companies": "Companies were",
    "outreach": "Lists of people to call were", "sources": "Where viewers came from was",
    "conversions": "Conversions were", "coverage": "Coverage of the data was",
}  # fmt: skip


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
    parts = {
        "clusters": _clusters(source), "content": _content(source),
        "change": source.insight("change"), "people": _people(source),
        "personas": _personas(source), "advice": _advice(source),
        "stability": _with_more(source, "stability", "discovery"), "method": _method(source),
        "stamp": _stamp(source),
    }  # fmt: skip
    return plain({"schema_version": SCHEMA_VERSION, "answer": _answer(source, parts), **parts})


class _Files:
    """The files of a run folder, read once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.manifest = read_manifest(folder).model_dump(exclude_unset=True)
        self.params = self.manifest.get("parameters", {})
        self.min_cell = max(int(self.params.get("min_cell", 10)), 1)
        self.clusters = self.table("clusters.csv")
        if self.clusters is None or "window" not in self.manifest:
            raise DataError(
                f"Report of {folder.name}: run.json or data/clusters.csv is missing or broken. "
                "A run whose stage 03 is done has both. Go on with "
                f"`viewer-personas run --resume {folder.name}`."
            )
        self.insights = self.json("insights.json")
        try:
            self.rules = rules.load(self.params.get("clusters_file", ""), folder=folder).clusters
        except KitError:  # the file was moved since: names and numbers are in the run folder
            self.rules = []
        named = {rule.name: rule.title for rule in self.rules}
        names = self.clusters["cluster"]
        self.titles = {name: named.get(name, name.replace("_", " ").title()) for name in names}
        self.viewers = int(self.clusters["viewers"].sum())
        self.end = date.fromisoformat(self.manifest["window"]["end_date"])

    @cached_property
    def engine(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect()

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of data/; empty when it is missing or broken."""
        try:
            return json.loads((self.folder / "data" / name).read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def table(self, name: str) -> pd.DataFrame | None:
        """A CSV of data/, its texts as they were before they were disarmed."""
        path = self.folder / "data" / name
        if not path.is_file():
            return None
        texts = dict.fromkeys(("cluster", "media_id", "title", "weekday"), "str")
        frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
        for column in frame.columns.intersection(list(texts)):
            frame[column] = frame[column].str.removeprefix("'")
        return frame

    def count(self, what: str, places: list, where: str = "true", **measures: str) -> pd.DataFrame:
        """Viewers by cluster and by an SQL expression ``what``, without one viewer leaving SQL.

        Returns
        -------
        DataFrame of int, index all clusters, columns ``places``; with ``measures`` (name to SQL)
        a column of each beside the long form instead.
        """
        path = self.folder / "data" / "viewers.parquet"
        more = "".join(f", {formula} AS {name}" for name, formula in measures.items())
        found = pd.DataFrame(columns=["cluster", "place", "viewers", *measures])
        if path.is_file():
            found = self.engine.execute(
                f"SELECT cluster, {what} AS place, count(*) AS viewers{more} "
                f"FROM read_parquet({quoted(path)}) WHERE {where} GROUP BY ALL"
            ).df()
        if measures:
            return found
        grid = found.pivot(index="cluster", columns="place", values="viewers")
        return grid.reindex(index=list(self.titles), columns=places).fillna(0).astype("int64")

    def insight(self, name: str) -> dict[str, Any]:
        """A part of insights.json; one that is missing says so."""
        given = self.insights.get(name)
        known = isinstance(given, dict) and bool(given.get("finding"))
        finding = f"{MISSING.get(name)} not reckoned in this run."
        if name == "change":
            finding = "There is no earlier run to compare with."
        return {**part(finding), **(given if known else {}), "known": known}


def _with_more(source: _Files, name: str, *others: str) -> dict[str, Any]:
    found = source.insight(name)
    return {**found, "more": {**found["more"], **{key: source.insight(key) for key in others}}}


def _clusters(source: _Files) -> dict[str, Any]:
    total, about, rows = source.viewers, {rule.name: rule for rule in source.rules}, []
    for row in source.clusters.to_dict("records"):
        rule = about.get(row["cluster"])
        low, high = wilson(row["viewers"], total) or (None, None)
        known = wilson(row["identified_viewers"], row["viewers"]) or (None, None)
        rows.append({
            **row, "title": source.titles[row["cluster"]], "low": low, "high": high,
            "identified_low": known[0], "identified_high": known[1],
            "few": row["viewers"] < TOO_FEW, "description": rule.description if rule else "",
        })  # fmt: skip
    finding = "No viewers in the window, so no clusters."
    if total:
        big = max(rows, key=lambda row: row["viewers"])
        finding = (
            f"{big['title']} are the largest cluster: {big['viewers']:,} viewers, "
            f"{share_of(big['viewers'], total)}."
        )
    return {"finding": finding, "viewers": total, "rows": rows,
            "completion": _completion(source), "times": _times(source)}  # fmt: skip


def _completion(source: _Files) -> dict[str, Any]:
    """Viewers and mean completion by cluster and number of videos; small groups are hidden."""
    whens = " ".join(f"WHEN video_count >= {n} THEN {n}" for n in sorted(BUCKETS, reverse=True))
    bucket = f"CASE {whens} END"
    counts = source.count(bucket, list(BUCKETS))
    means = source.count(bucket, [], percent="avg(avg_percent_watched)")
    total = int(counts.to_numpy().sum())
    if not total:
        return {"finding": "No viewers to tell how much they watched.", "videos": [], "rows": []}
    percents = means.set_index(["cluster", "place"])["percent"]
    rows = [
        {"cluster": cluster, "cells": [
            None if pd.isna(viewers) else
            {"viewers": viewers, "percent": percents.get((cluster, place))}
            for place, viewers in line.items()]}
        for cluster, line in disclosure.suppress(counts, source.min_cell).iterrows()
    ]  # fmt: skip
    mean = (means["percent"] * means["viewers"]).sum() / total
    finding = (
        f"Viewers who watched one video: {share_of(int(counts[1].sum()), total)}; on average "
        f"{mean:.0f}\u00a0% of each video was seen."
    )
    return {"finding": finding, "videos": list(BUCKETS.values()), "rows": rows}


def _times(source: _Files) -> dict[str, Any]:
    """Sessions by weekday and hour; hours with fewer sessions than ``min_cell`` are hidden."""
    zone, table = source.params.get("time_zone", "UTC"), source.table("watch_times.csv")
    total = 0 if table is None else int(table["sessions"].sum())
    if not total:
        return {"finding": "No sessions to tell when people watched.", "zone": zone, "rows": []}
    grid = table.pivot_table(index="weekday", columns="hour", values="sessions", aggfunc="sum")
    grid = grid.reindex(index=WEEKDAYS, columns=range(24)).fillna(0).astype("Int64")
    (day, hour), most = grid.stack().idxmax(), int(grid.to_numpy().max())
    finding = "Sessions are too few to tell an hour when people watch."
    if most >= source.min_cell:
        finding = f"The busiest hour is {day} {hour}:00 ({zone}): {most:,} of {total:,} sessions."
    shown = grid.mask((grid > 0) & (grid < source.min_cell))
    rows = [{"weekday": name, "hours": list(line)} for name, line in shown.iterrows()]
    return {"finding": finding, "zone": zone, "sessions": total, "most": most, "rows": rows}


def _content(source: _Files) -> dict[str, Any]:
    """The most-watched videos by cluster, and the one that stands out.

    affinity.csv holds no cell under ``min_cell``.
    """
    found = _with_more(source, "content", "sources", "conversions")
    table = source.table("affinity.csv")
    if table is None or table.empty:
        least = f"at least {source.min_cell} viewers in one cluster"
        return {**found, "finding": f"No video has {least}, so none is shown.", "videos": []}
    table = table[table["viewers"] >= source.min_cell]
    viewers = table.pivot_table(index="media_id", columns="cluster", values="viewers")
    ranked = viewers.sum(axis=1).sort_values(ascending=False, kind="stable").index
    top, told = list(ranked[:MOST_VIDEOS]), found.get("figures", {}).get("stands_out")
    if told in ranked and told not in top:  # what the heading names is shown below it
        top[-1] = told
    viewers = viewers.reindex(index=top, columns=list(source.titles))
    sizes = source.clusters.set_index("cluster")["viewers"]
    titles = table.drop_duplicates("media_id").set_index("media_id")["title"].fillna("")
    videos = [
        {"media_id": media, "title": titles[media] or media,
         "cells": [_reach(line[name], int(sizes[name])) for name in source.titles]}
        for media, line in viewers.iterrows()
    ]  # fmt: skip
    best = table.loc[table["reach"].idxmax()]
    share = share_of(int(best["viewers"]), int(sizes[best["cluster"]]))
    video = titles[best["media_id"]] or best["media_id"]
    finding = f"{source.titles[best['cluster']]} saw “{video}” most: {share}."
    return {**found, "finding": found["finding"] if found["known"] else finding, "videos": videos}


def _reach(viewers: float, size: int) -> dict[str, Any] | None:
    if pd.isna(viewers):
        return None
    low, high = wilson(int(viewers), size)
    return {"viewers": int(viewers), "reach": viewers / size, "low": low, "high": high}


def _people(source: _Files) -> dict[str, Any]:
    """How many identified people there are to write to, by cluster and by how long ago."""
    now = f"TIMESTAMPTZ '{source.end + timedelta(days=1)} 00:00:00+00'"
    whens = " ".join(f"WHEN last_active >= {now} - INTERVAL {days} DAY THEN {days}"
                     for days in list(RECENCY)[:-1])  # fmt: skip
    grid = source.count(f"CASE {whens} ELSE {list(RECENCY)[-1]} END", list(RECENCY), "identified")
    shown, total = disclosure.suppress(grid, source.min_cell), int(grid.to_numpy().sum())
    found = source.insight("outreach")
    listed = {row["cluster"]: row.get("people") for row in found["rows"]}
    rows = [
        {"cluster": name, "identified": grid.loc[name].sum(), "cells": list(line),
         "people": listed.get(name), "file": f"private/outreach_{name}.csv"}
        for name, line in shown.iterrows()
    ]  # fmt: skip
    finding = "Nobody is identified, so there is nobody to write to by name."
    if total:
        finding = f"{people(total)} are identified: {share_of(total, source.viewers)}."
    return {
        "finding": found["finding"] if found["known"] else finding, "identified": total,
        "now": source.end, "recency": list(RECENCY.values()), "rows": rows,
        # its rows count people of a cluster by freshness, small cells too: they stay out
        "more": {"outreach": {**found, "rows": []}, "companies": source.insight("companies")},
        "names": _names(source),
    }  # fmt: skip


def _names(source: _Files) -> list[dict[str, Any]]:
    """The first people of each private list, when the run may show identities."""
    lists = []
    for cluster in source.titles if source.params.get("show_identities") else ():
        path = source.folder / "private" / f"outreach_{cluster}.csv"
        if path.is_file():
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, nrows=MOST_NAMES)
            rows = [[cell.removeprefix("'") for cell in row] for row in frame.to_numpy().tolist()]
            lists.append({"cluster": cluster, "columns": list(frame.columns), "rows": rows})
    return lists


def _personas(source: _Files) -> dict[str, Any]:
    known, analysis = source.json("personas.json"), source.json("analysis.json")
    said = analysis.get("by_cluster") or {}
    replies = {reply.get("cluster"): reply for reply in analysis.get("replies") or []}
    best_first = source.insight("content")["more"].get("next_video", {}).get("rows", [])
    send = {row["cluster"]: row["title"] for row in reversed(best_first)}
    keys = ("cluster", "title", "name", "status", "persona_id", "credits", "description")
    cards = [
        {**{key: card.get(key) for key in keys}, "advice": said.get(card["cluster"]),
         "facts": [fact["text"] if isinstance(fact, dict) else str(fact)
                   for fact in card.get("facts") or []],
         "reply": replies.get(card["cluster"]), "next_video": send.get(card["cluster"]),
         "conversion": _conversion(source, card["cluster"], said.get(card["cluster"]))}
        for card in known.get("personas") or []
    ]  # fmt: skip
    counts = pd.Series([card["status"] for card in cards], dtype=object).value_counts()
    credits = sum(card["credits"] or 0 for card in cards)
    states = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    finding = "Personas were not made in this run."
    if cards and set(counts.index) == {"draft"}:
        finding = f"{people(len(cards), 'persona')} drafted, none bought: nothing was spent."
    elif cards and source.manifest.get("source", {}).get("mavera") == "sandbox":
        finding = f"{people(len(cards), 'persona')}, simulated: {credits:,} play credits."
    elif cards:
        finding = f"{people(len(cards), 'persona')} at Mavera: {states}; {credits:,} credits."
    elif not source.viewers:
        finding = "No cluster has viewers, so there are no personas."
    return {"finding": finding, "cards": cards}


def _conversion(source: _Files, cluster: str, advice: str | None) -> dict[str, Any]:
    """How many of a cluster converted, and what Mave (``stated``) thinks of their probability."""
    found = source.insight("conversions")
    row = next((row for row in found["rows"] if row["cluster"] == cluster), {})
    converted, viewers = (found["figures"].get(key) or 0 for key in ("converted", "viewers"))
    keys = ("observed", "viewers", "rate", "rate_low", "rate_high")
    return {
        **{key: row.get(key) for key in keys}, "stated": conversions.stated(advice),
        "rate_of_all": converted / viewers if viewers else None,
    }  # fmt: skip


def _advice(source: _Files) -> dict[str, Any]:
    known = source.json("analysis.json")
    status, reason = known.get("status") or "not_asked", known.get("reason") or ""
    finding = {
        "answered": "Mave answered with advice for each cluster.",
        "clarifying": "Mave asked a question back instead of giving advice.",
    }.get(status, f"Mave was not asked in this run. {reason}".strip())
    if known.get("reused"):
        finding += f" The answer is of {known.get('asked_on')}: the numbers are the same since."
    keys = ("question", "answer", "closing", "asked_on", "credits", "thread_id", "confidence")
    return {
        "finding": finding, "status": status, "reused": bool(known.get("reused")),
        **{key: known.get(key) for key in keys}, "follow_ups": known.get("follow_ups") or [],
        "sources": [link for link in known.get("sources") or []
                    if str(link.get("url")).startswith(("https://", "http://"))],
        "unsupported_figures": known.get("unsupported_figures") or [],
    }  # fmt: skip


def _method(source: _Files) -> dict[str, Any]:
    counts = {
        "repeated_rows": source.manifest.get("repeated_rows"), **source.manifest.get("counts", {})
    }  # fmt: skip
    sessions = people(counts.get("sessions") or 0, "viewing session")
    return {
        "finding": f"This report stands on {sessions} of {people(source.viewers)}.",
        "counts": {key: value for key, value in counts.items() if isinstance(value, int)},
        "min_cell": source.min_cell, "now": source.end,
        "rules": [{"title": rule.title, "when": rule.when} for rule in source.rules],
        "more": {"coverage": source.insight("coverage")},
    }  # fmt: skip


def _stamp(source: _Files) -> dict[str, Any]:
    manifest, run = source.manifest, source.folder.name
    keys = ("account", "window", "parameters", "requests", "retries", "repeated_rows",
            "dropped_rows", "credits", "versions", "rules")  # fmt: skip
    services = {name: manifest.get("source", {}).get(name, "live") for name in ("wistia", "mavera")}
    seconds = {name: stage.get("seconds") for name, stage in manifest.get("stages", {}).items()}
    return {
        "finding": f"Run {run} of account {manifest.get('account')}.", "run": run,
        "source": services, **{key: manifest.get(key) for key in keys}, "stage_seconds": seconds,
        "credits": {key: value for key, value in (manifest.get("credits") or {}).items()
                    if key != "ledger_from"},
    }  # fmt: skip


def _answer(source: _Files, parts: dict[str, Any]) -> dict[str, Any]:
    """The first screen: who, whom to call, what changed, what to do."""
    rows, total = parts["clusters"]["rows"], source.viewers
    first, others = rows[0], [row for row in rows[1:] if row["identified_viewers"]]
    listed = {row["cluster"]: row["people"] for row in parts["people"]["rows"]}
    calls = listed[first["cluster"]]
    calls = first["identified_viewers"] if calls is None else calls
    headline = "No viewers in the window"
    if total:
        kinds = sum(row["viewers"] > 0 for row in rows)
        headline = f"{people(total)} in {people(kinds, 'cluster')}"
        headline += f", {calls:,} worth a call" if calls else ""
    call = "Nobody is identified: there is no one to call."
    own = "Put an e-mail gate on your most-watched video, so that viewers can be written to."
    if calls:
        call = f"{calls:,} identified {first['title']} come first."
        own = f"Call the people of private/outreach_{first['cluster']}.csv, freshest first."
    elif others:
        call = f"Nobody identified is among {first['title']}: there is no one to call first."
        own = f"Write to the people of private/outreach_{others[0]['cluster']}.csv, best first."
    outreach, advice = parts["people"]["more"]["outreach"], parts["advice"]
    mave = advice["closing"] if advice["status"] == "answered" else None
    counts = source.manifest.get("counts", {})
    return {
        "finding": f"{headline}.", "headline": headline, "viewers": total,
        "erased_on": source.manifest.get("erased_on"),
        "visitors": counts.get("visitors"), "sessions": counts.get("sessions"),
        "identified_viewers": int(source.clusters["identified_viewers"].sum()),
        "call": outreach["finding"] if outreach["known"] else call, "calls": calls,
        "change": _change(parts["change"]),
        "action": {"by": "Mave" if mave else None, "text": _to_the_point(mave) if mave else own},
    }  # fmt: skip


def _change(change: dict[str, Any]) -> str:
    """What changed since the run before; on a first run, since the period before."""
    if "no earlier run" not in change["finding"]:
        return change["finding"]
    period = change["more"].get("period", {}).get("finding", "")
    return f"This is the first run of the account. {period}".strip()


def _to_the_point(text: str, most: int = 260) -> str:
    """The sentence of a closing that names the action, else its beginning."""
    words = " ".join(re.sub(r"(?m)^\s*([-*>#]+|\d+[.)])\s+|[*_`]", "", text).split())
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z“\"])", words)
    start = next((n for n, said in enumerate(sentences) if "action" in said.casefold()), 0)
    chosen = " ".join(sentences[start:])
    return chosen if len(chosen) <= most else chosen[:most].rsplit(" ", 1)[0] + " …"
