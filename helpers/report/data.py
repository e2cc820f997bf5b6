"""report.json: the report's sections; the page has a template for each, or the usual one."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.core.errors import DataError
from helpers.core.files import read_csv, read_json, read_package_yaml
from helpers.core.folders import read_manifest
from helpers.core.parameters import DEFAULTS
from helpers.core.settings import command
from helpers.findings.counts import TOO_FEW, with_share
from helpers.findings.section import Section, make_section
from helpers.mavera import answers
from helpers.report.pages import account_name
from helpers.store import rules

SCHEMA_VERSION = 2
MOST_NAMES = 10  # people of a list on the page, where the run shows identities
LONGEST_ACTION = 260  # characters of Mave's closing on the first screen
TOTALS = ("sessions", "viewers", "identified_viewers", "people", "visitors")  # exact
UNSTAMPED = {"counts", "fetch", "files", "clusters", "stages", "status", "error", "warnings"}
WORDS = read_package_yaml("report/words.yml")
SECTIONS = WORDS["sections"]
STATED = re.compile(WORDS["stated"], re.I | re.X)


def gather(folder: Path) -> dict[str, Any]:
    """Everything the report says, by section.

    Parameters
    ----------
    folder : Path
        A run folder whose stages 01 to 03 are done; what later ones lack is said in a sentence.

    Returns
    -------
    dict
        schema_version and the eleven sections; each has a ``finding`` in words, and those made of
        findings are Sections as JSON. Shares run from 0 to 1, percents from 0 to 100; a count
        hidden by ``min_cell`` is null.

    Raises
    ------
    DataError
        run.json or clusters.csv is missing, or a file is damaged.
    """
    source = _Source(folder)
    parts = {name: source.section(name) for name in SECTIONS} | {
        "clusters": _clusters(source),
        "content": source.section("content", "sources", "conversions"),
        "people": source.section("people") | {"now": source.now, "names": _names(source)},
        "personas": _personas(source),
        "advice": _advice(source),
        "stability": source.section("sensitivity", "groups"),
        "method": _method(source),
        "stamp": _stamp(source),
    }
    parts["answer"] = _answer(source, parts)
    return {"schema_version": SCHEMA_VERSION} | {name: parts[name] for name in SECTIONS}


class _Source:
    """The files of a run folder, read once."""

    def __init__(self, folder: Path):
        self.folder, self.manifest = folder, read_manifest(folder)
        table = folder / "data" / "clusters.csv"
        if not self.manifest.window or not table.is_file():
            remedy = f"Go on with `{command(f'run --resume {folder.name}', folder.parent)}`."
            what = "run.json or data/clusters.csv is missing or damaged."
            raise DataError(what, where=f"run {folder.name}", remedy=remedy)
        self.clusters = read_csv(table)
        self.sections = self.read("insights") | {"retention": self.read("retention")}
        self.personas, self.analysis = self.read("personas"), self.read("analysis")
        self.params, self.counts = self.manifest.parameters, self.manifest.counts
        self.now = self.manifest.window["end_date"]
        recorded = folder / "data" / "clusters.yml"
        self.rules = rules.load(recorded).clusters if recorded.is_file() else []
        self.descriptions = {rule.name: rule.description for rule in self.rules}
        titles = {rule.name: rule.title for rule in self.rules}
        names = self.clusters["cluster"]
        self.titles = {name: titles.get(name, name.replace("_", " ").title()) for name in names}

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run, without what is null in it; empty where there is none."""
        content = read_json(self.folder / "data" / f"{name}.json")
        return {key: value for key, value in content.items() if value is not None}

    def section(self, name: str, *others: str) -> dict[str, Any]:
        """A finding as it was written down, others among its parts; what was not made says so."""
        found = self.sections.get(name)
        missing = Section(f"{name.capitalize()}: not looked at in this run.").to_json()
        if not isinstance(found, dict) or not found.keys() >= missing.keys():
            found = missing
        more = {other: self.section(other) for other in others if other in self.sections}
        return found | {"parts": found["parts"] | more}

    def row_of(self, cluster: str, name: str, part: str = "") -> dict[str, Any]:
        """A cluster's first row in a finding, or in a part of one; empty where it has none."""
        section = self.section(name)
        rows = section["parts"].get(part, {"rows": []})["rows"] if part else section["rows"]
        return next((row for row in rows if row["cluster"] == cluster), {})


def _clusters(source: _Source) -> dict[str, Any]:
    """The clusters file's titles and descriptions beside the sizes, with 95 % intervals."""
    sizes = source.clusters["viewers"]
    total = int(sizes.sum())
    table = with_share(source.clusters.assign(total=total), "viewers", "total")
    table["title"], table["few"] = [*source.titles.values()], sizes < TOO_FEW
    table["description"] = [source.descriptions.get(name, "") for name in source.titles]
    table = table.rename(columns={"share_low": "low", "share_high": "high"})
    return make_section("clusters", table).to_json() | {"viewers": total}


def _names(source: _Source) -> list[dict[str, Any]]:
    """The first people of each private list, where the run may show identities."""
    lists = []
    for cluster in source.titles if source.params.get("show_identities") else ():
        path = source.folder / "private" / f"outreach_{cluster}.csv"
        if path.is_file():
            people = read_csv(path).head(MOST_NAMES).astype("str").fillna("")
            rows = people.to_numpy().tolist()
            lists.append({"cluster": cluster, "columns": list(people), "rows": rows})
    return lists


def _say(name: str, **facts: Any) -> str:
    """The sentence that sections.yml has under a name."""
    return make_section(name, pd.DataFrame(), **facts).finding


def _personas(source: _Source) -> dict[str, Any]:
    cards = [_card(source, persona) for persona in source.personas.get("personas", ())]
    play = "play " if source.manifest.source["mavera"] == "sandbox" else ""
    return {"finding": _say("personas", cards=cards, play=play), "cards": cards}


def _card(source: _Source, persona: dict[str, Any]) -> dict[str, Any]:
    """A persona; what its cluster did, as the data say; what Mave advises for it."""
    cluster, said = persona["cluster"], source.analysis
    advice = said.get("by_cluster", {}).get(cluster)
    replies = (reply for reply in said.get("replies", ()) if reply.get("cluster") == cluster)
    conversion = source.row_of(cluster, "conversions")
    watched = source.row_of(cluster, "people", "watch_time")
    facts = ("viewers", "converted", "rate", "low", "high", "verdict", "verdict_per_session")
    keys = ("cluster", "title", "name", "status", "persona_id", "credits", "description")
    return {key: persona.get(key) for key in keys} | {
        "facts": [fact["text"] for fact in persona.get("facts") or []],
        "advice": advice,
        "reply": next(replies, None),
        "next_video": source.row_of(cluster, "content", "next_video") or None,
        "minutes_per_viewer": watched.get("minutes_per_viewer"),
        "conversion": {key: conversion.get(key) for key in facts} | {"stated": _stated(advice)},
    }


def _stated(advice: str | None) -> str | None:
    """The word that Mave gave a cluster's conversion probability."""
    found = STATED.search(advice or "")
    return " to ".join(word.lower() for word in found.groups() if word) if found else None


def _advice(source: _Source) -> dict[str, Any]:
    said, links = source.analysis, answers.links(source.analysis.get("sources"))
    texts = [said, *said.get("follow_ups", ()), said.get("edits", {})]
    missing = [figure for text in texts for figure in text.get("unsupported_figures") or []]
    kept = ("question", "answer", "closing", "asked_on", "credits", "thread_id", "confidence")
    facts = {key: said.get(key) for key in (*kept, "edits")} | {
        "status": said.get("status", "not_asked"),
        "reused": bool(said.get("reused")),
        "follow_ups": said.get("follow_ups", []),
        "sources": [vars(link) for link in links],
        "figures": said.get("figures", []),
        "unsupported_figures": list(dict.fromkeys(missing)),
    }
    return {"finding": _say("advice", reason=said.get("reason", ""), **facts)} | facts


def _method(source: _Source) -> dict[str, Any]:
    viewers, sessions = int(source.clusters["viewers"].sum()), source.counts.get("sessions") or 0
    return {
        "finding": _say("method", sessions=sessions, viewers=viewers),
        "counts": {name: source.counts[name] for name in TOTALS if name in source.counts},
        "min_cell": source.params.get("min_cell", DEFAULTS["min_cell"]),
        "rules": [{"title": rule.title, "when": rule.when} for rule in source.rules],
        "parts": {"coverage": source.section("coverage")},
    }


def _stamp(source: _Source) -> dict[str, Any]:
    manifest, run = source.manifest, source.folder.name
    credits = {name: manifest.credits.get(key) for key, name in WORDS["credits"].items()}
    return manifest.model_dump(exclude=UNSTAMPED, exclude_unset=True) | {
        "finding": f"Run {run}, account: {account_name(manifest.account)}.",
        "run": run,
        "credits": {name: value for name, value in credits.items() if value not in (None, {})},
        "stage_seconds": {name: one.get("seconds") for name, one in manifest.stages.items()},
    }


def _answer(source: _Source, parts: dict[str, Any]) -> dict[str, Any]:
    """The first screen: what is new, or what there is; whom to call; what to do."""
    total, news = parts["clusters"]["viewers"], parts["change"]["parts"].get("news")
    news = news["finding"] if news and news["rows"] else None
    used = int((source.clusters["viewers"] > 0).sum())
    headline = _say("answer", viewers=total, clusters=used)
    if news:  # its beginning, without what is not there
        headline = re.sub(r", 0 [^,;]+|;.*|\.$", "", news)
    watch_time = parts["people"]["parts"].get("watch_time", {}).get("finding", "")
    hours = re.match(r"(?!0 )[\d,]+ hours", watch_time)
    calls = source.counts.get("people_to_call")
    mave = parts["advice"]["closing"] if parts["advice"]["status"] == "answered" else None
    action = to_the_point(mave) if mave else _say("action", calls=calls)
    return {
        "finding": f"{headline}.",
        "headline": headline,
        "viewers": total,
        "identified_viewers": int(source.clusters["identified_viewers"].sum()),
        **{key: source.counts.get(key) for key in ("visitors", "sessions", "people")},
        "people_to_call": calls,
        "watched": hours[0] if hours else None,
        "call": parts["people"]["finding"],
        "news": news,
        "action": {"by": "Mave" if mave else None, "text": action},
        "erased_on": (source.manifest.model_extra or {}).get("erased_on"),
    }


def to_the_point(text: str) -> str:
    """The sentence of a closing that names the action, else its beginning."""
    words = " ".join(re.sub(r"(?m)^\s*([-*>#]+|\d+[.)])\s+|[*_`]", "", text).split())
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z“\"])", words)
    start = next((n for n, said in enumerate(sentences) if "action" in said.casefold()), 0)
    chosen = " ".join(sentences[start:])
    if len(chosen) <= LONGEST_ACTION:
        return chosen
    return chosen[:LONGEST_ACTION].rsplit(" ", 1)[0] + " …"
