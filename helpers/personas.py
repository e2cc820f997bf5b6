"""Stage 04: a persona for each cluster: draft, bill, purchase. Nothing is ever bought twice."""

from __future__ import annotations

import html
import json

import pandas as pd

from helpers import cluster
from helpers.core import files
from helpers.core.errors import DataError, ParameterError
from helpers.core.parameters import suggest
from helpers.findings.profiles import describe_profiles
from helpers.findings.section import Section
from helpers.mavera import drafts as drafting
from helpers.mavera import owned, prompts
from helpers.mavera import payloads as sending
from helpers.mavera.answers import Shown
from helpers.mavera.bill import Bill, BillRow
from helpers.mavera.purchases import Account, open_account
from helpers.mavera.results import STATUSES, PersonaRow, PersonasFile
from helpers.run import Run

FILE = "personas.json"
ANALYSIS = "Mave's analysis"
LAST_STAGE = "05_mave_analysis"


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
        ``persona:`` of the clusters file has an unknown or malformed field, or persona_clusters
        names a cluster that is not there.
    DataError
        Stage 03 has not run.
    """
    check_chosen(run)
    table, params = cluster.read_table(run), run.params
    profiles = describe_profiles(run.engine, table, params.min_cell, time_zone=params.time_zone)
    rows: list[PersonaRow] = []
    by_name = {rule.name: rule for rule in run.rules.clusters}
    for numbers in sending.build_clusters(
        run.rules, profiles.clusters, profiles.parts, profiles.videos
    ):
        facts = drafting.write_statements(numbers, days=run.window.days, zone=params.time_zone)
        text = " ".join(fact.text for fact in facts) or numbers.title
        name = _name(f"{run.rules.name_prefix} {numbers.title}", numbers.cluster, rows)
        draft = sending.build_persona(by_name[numbers.cluster], name=name, description=text)
        named = numbers.cluster in params.persona_clusters
        chosen = named or (not params.persona_clusters and numbers.viewers is not None)
        about = {"cluster": numbers.cluster, "title": numbers.title, "name": name, "facts": facts}
        rows.append(PersonaRow(draft=draft, numbers=numbers, chosen=chosen, **about))
    viewers = int(table["viewers"].sum())
    _write(run, PersonasFile(min_cell=params.min_cell, total_viewers=viewers, personas=rows))
    frame = _frame(rows, ["name", "chosen"])
    frame["pipeline"] = [row.draft.pipeline_type for row in rows]
    frame["statements"] = [len(row.facts) for row in rows]
    frame["characters"] = [len(row.draft.description) for row in rows]
    return frame


def check_chosen(run: Run) -> None:
    """Refuse persona_clusters that names a cluster which the rules do not have."""
    for name in run.params.persona_clusters:
        if name not in run.rules.names:
            raise ParameterError(
                f"persona_clusters names {name!r}, and there is no such cluster.",
                where=run.stage,
                expected=f"some of {', '.join(run.rules.names)}",
                remedy=suggest(name, run.rules.names),
            )


def _name(name: str, cluster: str, rows: list[PersonaRow]) -> str:
    """Prefix and title, 2 to 100 characters, the same every time and never twice."""
    name = sending.clean(name, sending.NAME_LENGTH)
    if name in {row.name for row in rows}:
        tail = f" ({cluster})"
        name = sending.clean(name, sending.NAME_LENGTH - len(tail)) + tail
    return name


def read(run: Run) -> PersonasFile:
    """personas.json of the run.

    Raises
    ------
    DataError
        It is missing, of an earlier version, or made with another ``min_cell``.
    """
    content = files.read_json(run.need(FILE, "04_personas"))
    if (content.get("schema_version"), content.get("min_cell")) != (2, run.params.min_cell):
        raise DataError(
            f"data/{FILE} was made with another min_cell, or by an earlier version.",
            where=run.stage,
            remedy="Run 04_personas again, then this notebook.",
        )
    return PersonasFile.model_validate(content)


def _write(run: Run, content: PersonasFile) -> None:
    run.write_json(FILE, content.model_dump(by_alias=True, exclude_none=True))


def _frame(rows: list[PersonaRow], columns: list[str]) -> pd.DataFrame:
    index = pd.Index([row.cluster for row in rows], name="cluster", dtype=object)
    return pd.DataFrame(
        {name: [getattr(row, name) for row in rows] for name in columns}, index=index
    )


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
    with open_account(run) as account:
        account.begin()
        content.bill = known = _bill(run, account, content)
        _write(run, content)
    facts = {"bill": known.total, "before": known.remaining, "auto_recharge": known.auto_recharge}
    run.record(credits=facts)
    return known.table()


def _bill(run: Run, account: Account, content: PersonasFile) -> Bill:
    """Of the personas, and of what later stages of this run will ask."""
    rows = owned.plan_personas(account, content.personas)
    later = questions(run, account, content)
    if run.params.ask_edits:
        later.append(account.ask("Mave's edits", "mave"))
    if not rows or not (run.is_dev or LAST_STAGE in run.manifest().stages):
        later = []
    return account.bill([*rows, *later])


def questions(run: Run, account: Account, content: PersonasFile) -> list[BillRow]:
    """What stage 05 asks: Mave about all clusters, and with ``ask_personas`` each persona.

    An answer is known where all personas are there and unchanged and the same was asked before.
    """
    rows = [row for row in content.personas if row.persona_id or row.chosen]
    as_it_is = all(row.persona_id and row.plan != "update" for row in rows)
    message = prompts.write_question(numbers_of(run, content))
    asks = [account.ask(ANALYSIS, "mave", prompts.fingerprint_of(message) if as_it_is else "")]
    for row in rows if run.params.ask_personas else ():
        known = prompts.fingerprint_of_reply(row) if row.persona_id else ""
        asks.append(account.ask(f"Reply of {row.name}", "reply", known, row.cluster))
    return asks if content.personas else []


def numbers_of(run: Run, content: PersonasFile) -> sending.Numbers:
    """The data block of the question to Mave."""
    path = run.find("insights.json")
    change = files.read_json(path).get("change", {}) if path else {}
    news = change.get("parts", {}).get("news")
    frame = Section.from_json(news).table if news else pd.DataFrame()
    total = content.total_viewers if content.total_viewers >= run.params.min_cell else None
    return prompts.build_numbers(
        content.personas, sending.build_news(frame), viewers=total, days=run.window.days
    )


def payloads(run: Run) -> pd.DataFrame:
    """Exactly what will be sent to make or change personas; what is reused sends nothing.

    Returns
    -------
    DataFrame: request, name, payload [JSON].
    """
    content = read(run)
    known = {row.item: row.status for row in (content.bill or Bill()).rows}
    requests = {"buy": "POST /personas", "update": "PATCH /personas/{id}"}
    sent = [
        (requests[status], row.name, json.dumps(row.draft.body(), ensure_ascii=False))
        for row in content.personas
        for status in [known.get(row.name, "buy" if row.chosen else "")]
        if status in requests
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
    with open_account(run) as account:
        known = _bill(run, account, content)
        try:
            if account.buys and content.personas:
                account.approve(known, shown=content.bill)
            for row in content.personas:  # the first purchase is checked before all others
                if account.buys:
                    owned.carry_out(account, row)
                owned.note(account, row)
        finally:
            statuses = [row.status for row in content.personas]
            run.record(personas={name: statuses.count(name) for name in STATUSES})
            account.record()
            _write(run, content)
        account.record_balance()
    return _frame(content.personas, ["name", "status", "credits"])


# ---- showing


def cards(run: Run) -> Shown:
    """A card for each persona: its name, what it was made from, and what Mavera made of it."""
    rows = read(run).personas
    if not rows:
        return Shown("<p>No viewers in the window, so no personas.</p>")
    cards = [f"<p><em>{_writer(run, rows)}</em></p>"]
    for row in rows:
        traits = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>"
            for name, value in row.traits.items()
        )
        cards.append(
            f"<article><h4>{html.escape(row.name)}</h4>"
            f"<p>{html.escape(row.description or row.draft.description)}</p><dl>{traits}</dl>"
            f"<p><small>{html.escape(row.title)} · {row.status}</small></p></article>"
        )
    return Shown("".join(cards))


def _writer(run: Run, rows: list[PersonaRow]) -> str:
    """Who wrote the cards' texts: the kit the drafts, the service what became of them."""
    drafted = {row.status == "draft" for row in rows}
    if drafted == {True}:
        return "Drafts: the kit wrote them from the numbers, and no AI did. Nothing was bought."
    sandbox = run.source.mavera == "sandbox"
    writer = "the sandbox by rule: no AI wrote them" if sandbox else "Mavera with AI"
    some = (
        "Those marked draft were written by the kit from the numbers and not bought. The others: "
    )
    said = f"Drafted from the numbers, written out by {writer}."
    return some + said if True in drafted else said
