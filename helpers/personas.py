"""Stage 04: a persona for each cluster: draft, bill, purchase. Nothing is ever bought twice."""

import json

import pandas as pd

from helpers import cluster, mavera as agent
from helpers.core import files
from helpers.core.errors import DataError
from helpers.core.privacy import clean_line
from helpers.findings.profiles import describe_profiles
from helpers.findings.section import Section
from helpers.mavera import drafts as drafting, payloads as sending, prompts
from helpers.mavera.answers import Shown
from helpers.mavera.results import STATUSES, PersonaRow, PersonasFile
from helpers.run import Run

FILE = "personas.json"
REQUESTS = {"buy": "POST /personas", "update": "PATCH /personas/{id}"}


def drafts(run: Run) -> pd.DataFrame:
    """Write a draft for each cluster with viewers to ``data/personas.json``.

    Parameters
    ----------
    run : Run
        Reads ``data/clusters.csv``, the viewers, their sessions and plays.

    Returns
    -------
    DataFrame, index cluster; no viewers in, no rows out
        name, chosen (whether a persona may be bought), pipeline, statements [sentences, each of a
        number or of the clusters file], characters.

    Raises
    ------
    ParameterError
        The clusters file is wrong, or persona_clusters names a cluster that is not there.
    DataError
        Stage 03 has not run.
    """
    table, params = cluster.read_table(run), run.params
    run.rules.refuse_unknown(params.persona_clusters)
    profiles = describe_profiles(run.engine, table, params.min_cell)
    numbers = sending.build_clusters(run.rules, profiles.clusters, profiles.parts, profiles.videos)
    rows = [_draft(run, of_cluster) for of_cluster in numbers]
    viewers = int(table["viewers"].sum())
    _write(run, PersonasFile(min_cell=params.min_cell, total_viewers=viewers, personas=rows))
    columns = ["cluster", "name", "chosen", "pipeline", "statements", "characters"]
    shown = [
        (r.cluster, r.name, r.chosen, r.draft.pipeline_type, len(r.facts), len(r.draft.description))
        for r in rows
    ]
    return pd.DataFrame(shown, columns=columns).set_index("cluster")


def _draft(run: Run, numbers: sending.ClusterNumbers) -> PersonaRow:
    (rule,) = (rule for rule in run.rules.clusters if rule.name == numbers.cluster)
    facts = drafting.write_statements(numbers, days=run.window.days)
    name = clean_line(f"{run.rules.name_prefix} {numbers.title}", sending.NAME_LENGTH)
    text = " ".join(fact.text for fact in facts) or numbers.title
    named = run.params.persona_clusters
    chosen = rule.name in named if named else numbers.viewers is not None
    plan = "buy" if chosen else "not chosen"
    draft = sending.build_persona(rule, name=name, description=text)
    names = {"cluster": rule.name, "title": numbers.title, "name": name}
    return PersonaRow(**names, draft=draft, facts=facts, numbers=numbers, chosen=chosen, plan=plan)


def read(run: Run) -> PersonasFile:
    """personas.json of the run.

    Raises
    ------
    DataError
        It is missing, of an earlier version, or made with another ``min_cell``.
    """
    content = files.read_json(run.need(FILE, "04_personas"))
    if (content.get("schema_version"), content.get("min_cell")) != (2, run.params.min_cell):
        told = f"data/{FILE} was made with another min_cell, or by an earlier version."
        raise DataError(told, where=run.stage, remedy="Run 04_personas again, then this notebook.")
    return PersonasFile.model_validate(content)


def _write(run: Run, content: PersonasFile) -> None:
    run.write_json(FILE, content.model_dump(exclude_none=True))


def bill(run: Run) -> pd.DataFrame:
    """What exists, what will be bought, and what that costs at most; buys nothing.

    Returns
    -------
    DataFrame: item, status (reuse, update, buy, ask, not chosen, too few viewers), credits [at
    most]; then the total, the balance before and after by the service's count, and a note when
    auto-recharge is on.

    Raises
    ------
    CreditError
        An earlier purchase's outcome could not be known.
    AccessError, ServiceError
        Mavera refused or failed.
    """
    content = read(run)
    with agent.open_account(run) as account:
        account.begin()
        content.bill = known = _bill(run, account, content)
        _write(run, content)
    facts = {"bill": known.total, "before": known.remaining, "auto_recharge": known.auto_recharge}
    run.record(credits=facts)
    return known.table()


def _bill(run: Run, account: agent.Account, content: PersonasFile) -> agent.Bill:
    """Of the personas, and of what later stages of this run will ask."""
    rows = drafting.plan_personas(account, content.personas)
    if not rows or not (run.is_dev or "05_mave_analysis" in run.manifest().stages):
        return account.bill(rows)
    known = account.bill(rows, questions(run, content))
    edits = agent.BillRow(item=prompts.EDITS, status="ask", credits=agent.KINDS["mave"].price)
    if run.params.ask_edits:
        known.rows.append(edits)
    return known


def _with_persona(content: PersonasFile) -> list[PersonaRow]:
    """Those clusters that have a persona, or will have one."""
    return [row for row in content.personas if row.persona_id or row.chosen]


def questions(run: Run, content: PersonasFile) -> list[agent.Purchase]:
    """What stage 05 asks: Mave about all clusters, and with ``ask_personas`` each persona."""
    named = _with_persona(content) if run.params.ask_personas else []
    replies = map(prompts.ask_persona, named)
    return [prompts.ask_mave(numbers_of(run, content)), *replies] if content.personas else []


def numbers_of(run: Run, content: PersonasFile) -> sending.Numbers:
    """The data block of the question: all clusters, and the personas there are or will be."""
    path = run.find("insights.json")
    parts = files.read_json(path).get("change", {}).get("parts", {}) if path else {}
    news = Section.from_json(parts["news"]).table if "news" in parts else pd.DataFrame()
    named, total = _with_persona(content), content.total_viewers
    return sending.Numbers(
        total_viewers=total if total >= content.min_cell else None,
        window_days=run.window.days,
        clusters=[row.numbers for row in content.personas],
        news=sending.build_news(news) or None,
        personas=[{"cluster": r.cluster, "name": r.name, "description": r.says} for r in named],
    )


def payloads(run: Run) -> pd.DataFrame:
    """Exactly what will be sent to make or change personas; what is reused sends nothing.

    Returns
    -------
    DataFrame: request, name, payload [JSON].
    """
    content = read(run)
    sent = [
        (REQUESTS[row.plan], row.name, json.dumps(row.draft.body(), ensure_ascii=False))
        for row in content.personas
        if row.plan in REQUESTS
    ]
    return pd.DataFrame(sent, columns=["request", "name", "payload"])


def buy(run: Run) -> pd.DataFrame:
    """Buy what the bill says, within ``max_credits``; reuse and update the rest.

    Returns
    -------
    DataFrame, index cluster: name, status (draft, bought, reused, updated), credits charged.

    Raises
    ------
    CreditError
        The bill is over budget or balance (nothing was bought), credits were used up on the way, or
        an outcome could not be known. What was bought is kept and reused by the next run.
    ServiceError, AccessError
        Mavera failed or refused.
    """
    content = read(run)
    with agent.open_account(run) as account:
        known = _bill(run, account, content)
        try:
            if account.buys and content.personas:
                account.approve(known, shown=content.bill)
            for row in content.personas:  # the first purchase is checked before all others
                drafting.carry_out(account, row)
        finally:
            statuses = [row.status for row in content.personas]
            run.record(personas={name: statuses.count(name) for name in STATUSES})
            _write(run, content)
    columns = ["cluster", "name", "status", "credits"]
    return pd.DataFrame(map(dict, content.personas), columns=columns).set_index("cluster")


def cards(run: Run) -> Shown:
    """A card for each persona: its name, what it was made from, and what Mavera made of it."""
    return Shown(prompts.write("cards.html.j2", rows=read(run).personas, source=run.source))
