"""Stage 04: a persona for each cluster: draft, bill, purchase. Nothing is ever bought twice."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from helpers.core import settings
from helpers.core.errors import CreditError, ServiceError
from helpers.core.files import write_json
from helpers.mavera import answers, prompts
from helpers.mavera import drafts as drafting
from helpers.mavera import payloads as sending
from helpers.mavera.ledger import Entry, fingerprint
from helpers.mavera.payloads import ClusterNumbers
from helpers.mavera.purchases import PRICES, Account
from helpers.run import Run

FILE = "personas.json"
LAST_STAGE = "05_mave_analysis"
NOTHING_SENT = "Nothing is sent: every persona that is needed is there, or there is no viewer."
AUTO = "note: auto-recharge is on, so Mavera buys credits by itself when they run low"


def drafts(run: Run) -> pd.DataFrame:
    """Write a draft for each cluster with viewers to ``data/personas.json``.

    Parameters
    ----------
    run : Run
        Reads ``data/clusters.csv``, ``data/affinity.csv``, the viewers and their sessions.

    Returns
    -------
    DataFrame, index cluster; no viewers in, no rows out
        name, pipeline, statements [sentences, each of a number or of the clusters file],
        characters.

    Raises
    ------
    ParameterError
        ``persona:`` of the clusters file has an unknown or malformed field.
    DataError
        Stage 03 has not run.
    """
    rules = drafting.rules_of(run)
    for rule in rules.clusters:
        sending.persona_fields(rule)
    rows, names = [], set()
    by_name = {rule.name: rule for rule in rules.clusters}
    for known in drafting.of_clusters(run):
        said = drafting.statements(known, days=run.window.days, zone=run.params.time_zone)
        name = _name(rules.name_prefix, known, names)
        text = " ".join(line["text"] for line in said) or known.title
        payload = sending.persona(by_name[known.cluster], name=name, description=text)
        rows.append(
            {
                "cluster": known.cluster,
                "title": known.title,
                "name": name,
                "draft": payload.body(),
                "status": "draft",
                "persona_id": None,
                "credits": 0,
                "facts": said,
                "numbers": known.body(),
                "description": None,
            }
        )
    _write(run, {"schema_version": 1, "personas": rows, "bill": None, "credits": None})
    frame = pd.DataFrame(
        {
            "name": [row["name"] for row in rows],
            "pipeline": [row["draft"]["pipeline_type"] for row in rows],
            "statements": [len(row["facts"]) for row in rows],
            "characters": [len(row["draft"]["description"]) for row in rows],
        },
        index=pd.Index([row["cluster"] for row in rows], name="cluster", dtype=object),
    )
    return frame


def _name(prefix: str, known: ClusterNumbers, taken: set[str]) -> str:
    """Prefix and title, 2 to 100 characters, the same every time and never twice."""
    name = sending.clean(f"{prefix} {known.title}", sending.NAME_LENGTH)
    if name in taken:
        tail = f" ({known.cluster})"
        name = sending.clean(name, sending.NAME_LENGTH - len(tail)) + tail
    taken.add(name)
    return name


def read(run: Run) -> dict[str, Any]:
    """personas.json of the run."""
    return json.loads(run.need(FILE, "04_personas").read_text("utf-8"))


def _write(run: Run, content: dict[str, Any]) -> None:
    write_json(run.data(FILE), content)


def bill(run: Run) -> pd.DataFrame:
    """What exists, what will be bought, and what that costs at most; buys nothing.

    Returns
    -------
    DataFrame: item, status (reuse, update, buy, ask), credits [at most]; then the total, the
    balance before and after by the service's count, and a note when auto-recharge is on.

    Raises
    ------
    CreditError
        An earlier purchase's outcome could not be known.
    AccessError, ServiceError
        Mavera refused or failed.
    """
    with run.store.lock():
        account = Account(run)
        account.begin()
        account.settle_pending()
        content = read(run)
        rows = _bill_rows(run, account, _plan(account, content["personas"]))
        usage = account.mavera.usage()
    total = sum(row["credits"] for row in rows)
    content["bill"] = {"rows": rows, "total": total, "auto_recharge": usage["auto_recharge"]}
    content["credits"] = {"before": usage, "after": None, "spent": account.spent()}
    _write(run, content)
    run.record(credits={"bill": total, "before": usage["remaining"]})
    return _bill_frame(rows, total, usage)


def _bill_frame(rows: list[dict], total: int, usage: dict[str, Any]) -> pd.DataFrame:
    table = [*rows, {"item": "total, at most", "status": "", "credits": total}]
    left = usage["remaining"]
    if left is not None:
        table.append({"item": "balance before", "status": "", "credits": left})
        table.append({"item": "balance after, at least", "status": "", "credits": left - total})
    if usage["auto_recharge"]:
        table.append({"item": AUTO, "status": "", "credits": None})
    frame = pd.DataFrame(table, columns=["item", "status", "credits"])
    return frame.astype({"credits": "Int64"})


def _bill_rows(run: Run, account: Account, plan: list[dict]) -> list[dict[str, Any]]:
    prices = {"buy": PRICES["persona"]}
    rows = [
        {"item": step["row"]["name"], "status": step["status"],
         "credits": prices.get(step["status"], 0)}
        for step in plan
    ]  # fmt: skip
    if not plan or not (run.is_dev or LAST_STAGE in run.manifest().stages):
        return rows
    known = [
        {**step["row"], "persona_id": step["persona_id"],
         "description": described(account, step["persona_id"], step["row"])[0]}
        for step in plan if step["status"] == "reuse"
    ]  # fmt: skip
    kept = len(known) == len(plan) and account.kept(
        prompts.fingerprint_of(prompts.build(run, known))
    )
    items = [("Mave's analysis", 0 if kept else PRICES["mave"])]
    if run.params.ask_personas:
        said = [row for row in known if account.kept(prompts.reply_fingerprint(row))]
        items += [("replies of the personas", (len(plan) - len(said)) * PRICES["reply"])]
    return rows + [
        {"item": item, "status": "ask" if price else "reuse", "credits": price}
        for item, price in items
    ]


def facts_of(row: dict[str, Any]) -> dict[str, Any]:
    """What a draft was written from, as the ledger remembers it."""
    fields = {key: value for key, value in row["draft"].items() if key != "description"}
    return {"fields": fields, "numbers": row["numbers"]}


def _plan(account: Account, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each draft: the persona that is ours already, or that one must be bought.

    Found by the ledger (same name, else same cluster), if the account still lists it, else by exact
    name among the account's own personas; the oldest, if there are several.
    """
    listed = {row["id"]: row for row in account.refresh()}
    by_age = sorted(listed.values(), key=lambda row: (row.get("created_at") or 0, row["id"]))
    names = {row["name"] for row in rows}
    found: dict[str, tuple[str, Entry | None]] = {}
    taken: set[str] = set()

    def take(row: dict, persona_id: str | None, entry: Entry | None) -> None:
        if persona_id in listed and persona_id not in taken and row["name"] not in found:
            found[row["name"]] = (persona_id, entry)
            taken.add(persona_id)

    bought = account.bought("persona")[::-1]
    for row in rows:
        for entry in bought:
            if entry.name == row["name"]:
                take(row, entry.persona_id, entry)
        for known in by_age:
            if known.get("name") == row["name"]:
                take(row, known["id"], None)
    for row in rows:  # a title that changed: the persona is renamed, not bought anew
        for entry in bought:
            if entry.cluster == row["cluster"] and entry.name not in names:
                take(row, entry.persona_id, entry)
    place = settings.flag(account.run.settings.outputs)
    return [_step(row, *found.get(row["name"], (None, None)), bought, place) for row in rows]


def _step(
    row: dict, persona_id: str | None, entry: Entry | None, bought: list[Entry], place: str
) -> dict:
    if persona_id is None:
        for known in bought:
            if known.name == row["name"] and known.by == "hand" and not known.persona_id:
                raise CreditError(
                    f"Mavera: ledger entry {known.entry} was settled by hand as made, but the "
                    f"account lists no persona {row['name']!r}. Nothing is bought. If it is truly "
                    f"not there, run `viewer-personas settle {known.entry} not-made{place}`."
                )
        return {"row": row, "status": "buy", "persona_id": None, "entry": None}
    changed = bool(entry and entry.facts and drafting.differ(entry.facts, facts_of(row)))
    status = "update" if changed else "reuse"
    return {"row": row, "status": status, "persona_id": persona_id, "entry": entry}


class Payloads(list):
    """Requests as dicts of request and payload; a notebook shows them as JSON, to be unfolded."""

    def _repr_html_(self) -> str:
        return "".join(answers.folded(*told) for told in self._told()) or f"<p>{NOTHING_SENT}</p>"

    def __repr__(self) -> str:
        return "\n\n".join(map("\n".join, self._told())) or NOTHING_SENT

    def _told(self) -> Iterator[tuple[str, str]]:
        for row in self:
            text = json.dumps(row["payload"], indent=2, ensure_ascii=False)
            yield f"{row['request']}: {row['payload']['name']}, {len(text):,} characters", text


def payloads(run: Run) -> Payloads:
    """Exactly what will be sent to make or change personas; what is reused sends nothing."""
    content = read(run)
    status = {row["item"]: row["status"] for row in (content["bill"] or {"rows": []})["rows"]}
    sent = Payloads()
    for row in content["personas"]:
        payload = sending.Persona(**row["draft"])
        if status.get(row["name"], "buy") == "buy":
            sent.append({"request": "POST /personas", "payload": payload.body()})
        elif status[row["name"]] == "update":
            sent.append({"request": "PATCH /personas/{id}", "payload": payload.body()})
    return sent


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
    if not content["personas"]:
        run.record(credits={"spent": 0, "bill": 0, "by_item": {}})
        return _statuses(content["personas"])
    with run.store.lock():
        account = Account(run)
        account.settle_pending()
        plan = _plan(account, content["personas"])
        rows = _bill_rows(run, account, plan)
        try:
            if account.buys:
                _approve(account, content, sum(row["credits"] for row in rows))
                _carry_out(account, plan)
            else:
                for step in plan:
                    _note(step, account, "draft" if step["status"] == "buy" else "reused")
        finally:
            _close(run, account, content)
        content["credits"]["after"] = balance(run, account)
        _write(run, content)
    return _statuses(content["personas"])


def balance(run: Run, account: Account) -> dict[str, Any]:
    """The account's credits after spending, also written to run.json."""
    usage = account.mavera.usage()
    run.record(credits={"after": usage["remaining"]})
    return usage


def _approve(account: Account, content: dict, total: int) -> None:
    """Budget and balance must allow the bill, and it must be no more than was shown."""
    shown = (content["bill"] or {"total": total})["total"]
    if total > shown:
        raise CreditError(
            f"Credits: the bill was {shown} when it was shown and is {total} now: personas went "
            "from the account meanwhile. Nothing was bought. Run again to see the new bill."
        )
    account.approve(total)


def _carry_out(account: Account, plan: list[dict]) -> None:
    """Each step in turn, the first purchase before all others: its answer is checked alone."""
    for step in plan:
        row = step["row"]
        payload = sending.Persona(**row["draft"])
        facts = facts_of(row)
        about = {"cluster": row["cluster"], "fingerprint": fingerprint(row["draft"])}
        if step["status"] == "buy":
            entry = _bought(account, row, payload, facts=facts, **about)
            step |= {"persona_id": entry.persona_id, "entry": entry}
        elif step["status"] == "update":
            account.update(step["persona_id"], payload)
            step["entry"] = account.ledger.settle(
                step["entry"], name=row["name"], facts=facts, **about
            )
        elif step["entry"] is None:  # another machine's, or made by hand: ours from now on
            account.adopt(row["name"], step["persona_id"], facts=facts, **about)
        _note(step, account, "updated" if step["status"] == "update" else "reused")


def _bought(account: Account, row: dict, payload: sending.Persona, **about: Any) -> Entry:
    try:
        return account.charge(
            "persona", row["name"], lambda _: account.mavera.create_persona(payload), **about
        )[0]
    except ServiceError as error:
        if error.status_code not in (400, 409, 422):
            raise
        # The name may be taken since the list was read: then it is there, and nothing was charged.
        for known in account.refresh():
            if known.get("name") == row["name"]:
                return account.adopt(row["name"], known["id"], **about)
        raise


def _note(step: dict, account: Account, status: str) -> None:
    """Write a step's outcome into its row of personas.json."""
    row, entry = step["row"], step["entry"]
    row["persona_id"] = step["persona_id"]
    row["credits"] = account.credits_of(entry) if entry else 0
    row["status"] = "bought" if row["credits"] else status  # also when a killed run bought it
    if step["persona_id"]:
        row["description"], row["traits"] = described(account, step["persona_id"], row)


def described(account: Account, persona_id: str, row: dict) -> tuple[str, dict[str, str]]:
    """What Mavera made of a draft: its description, and further texts by name."""
    known = account.persona(persona_id)
    text = known.get("description") or row["draft"]["description"]
    details = known.get("details") if isinstance(known.get("details"), dict) else {}
    traits = {}
    for name, value in list(details.items())[:12]:
        parts = value if isinstance(value, list) else [value]
        texts = [sending.clean(part, 200) for part in parts[:6] if isinstance(part, str)]
        if texts:
            traits[sending.clean(name.replace("_", " "), 60)] = "; ".join(texts)
    return sending.clean(text, 2000), traits


def _close(run: Run, account: Account, content: dict[str, Any]) -> None:
    """personas.json and run.json, whether the purchases went well or stopped half-way."""
    rows = content["personas"]
    spent = account.spent()
    content["credits"] = {**(content["credits"] or {}), "spent": spent}
    _write(run, content)
    counts = {
        status: sum(row["status"] == status for row in rows)
        for status in ("draft", "bought", "reused", "updated")
    }
    run.record(personas=counts, credits={"spent": spent, "by_item": account.by_item()})


def _statuses(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {key: [row[key] for row in rows] for key in ("name", "status", "credits")},
        index=pd.Index([row["cluster"] for row in rows], name="cluster", dtype=object),
    )


def cards(run: Run) -> answers.Shown:
    """A card for each persona: its name, what it was made from, and what Mavera made of it."""
    content, parts = read(run), []
    for row in content["personas"]:
        text = row["description"] or row["draft"]["description"]
        traits = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>"
            for name, value in (row.get("traits") or {}).items()
        )
        parts.append(
            f"<article><h4>{html.escape(row['name'])}</h4><p>{html.escape(text)}</p>"
            f"<dl>{traits}</dl><p><small>{html.escape(row['title'])} · {row['status']}</small></p>"
            "</article>"
        )
    if not parts:
        return answers.Shown("<p>No viewers in the window, so no personas.</p>")
    return answers.Shown(f"<p><em>{_writer(run, content['personas'])}</em></p>" + "".join(parts))


def _writer(run: Run, rows: list[dict[str, Any]]) -> str:
    """Who wrote the cards' texts: the kit the drafts, the service what became of them."""
    drafts = [row["status"] == "draft" for row in rows]
    if all(drafts):
        return "Drafts: the kit wrote them from the numbers, and no AI did. Nothing was bought."
    writer = "Mavera with AI"
    if run.source.mavera == "sandbox":
        writer = "the sandbox by rule: no AI wrote them"
    if any(drafts):
        return (
            "Those marked draft were written by the kit from the numbers and not bought; the "
            f"others were drafted so, and written out by {writer}."
        )
    return f"Drafted from the numbers, written out by {writer}."
