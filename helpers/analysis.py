"""Stage 05: one question to Mave about all clusters, its answer, and what the personas say."""

from __future__ import annotations

import html
import json
from typing import Any

import jsonschema
import pandas as pd

from helpers import personas
from helpers.core.errors import ParameterError
from helpers.core.files import write_json
from helpers.mavera import answers, claims, payloads
from helpers.mavera import prompts as asking
from helpers.mavera.ledger import fingerprint
from helpers.mavera.purchases import PRICES, Account
from helpers.run import Run

FILE = "analysis.json"
ANALYSIS = "Mave's analysis"
NOTHING: dict[str, Any] = {
    "schema_version": 1, "status": "not_asked", "reason": None, "asked_on": None, "reused": False,
    "question": None, "answer": None, "by_cluster": {}, "closing": None, "sources": [],
    "credits": 0, "thread_id": None, "unsupported_figures": [], "confidence": None, "replies": [],
    "follow_ups": [],
}  # fmt: skip
LOST = "(The reply was charged and did not arrive.)"
EMPTY = "(The reply was empty.)"


def question(run: Run) -> answers.Text:
    """The message to Mave, exactly but for the mark that makes its thread recognisable."""
    return answers.Text(asking.text(asking.build(run, _personas(run))))


def _personas(run: Run) -> list[dict[str, Any]]:
    return [
        {**row, "description": row["description"] or row["draft"]["description"]}
        for row in personas.read(run)["personas"]
    ]


def read(run: Run) -> dict[str, Any]:
    """analysis.json of the run."""
    return json.loads(run.need(FILE, "05_mave_analysis").read_text("utf-8"))


def bill(run: Run) -> pd.DataFrame:
    """What the question and the replies cost at most; buys nothing.

    Returns
    -------
    DataFrame: item, status (reuse, ask), credits [at most]; then the total.
    """
    with run.store.lock():
        account = Account(run)
        account.settle_pending()
        rows = _bill_rows(account, *_to_ask(run))
    total = sum(row["credits"] for row in rows)
    return pd.DataFrame(
        [*rows, {"item": "total, at most", "status": "", "credits": total}],
        columns=["item", "status", "credits"],
    )


def _to_ask(run: Run) -> tuple[payloads.Numbers, list[dict[str, Any]]]:
    """The data block, and the personas to be asked for a reply."""
    rows = _personas(run)
    numbers = asking.build(run, rows)
    who = [row for row in rows if row["persona_id"]] if run.params.ask_personas else []
    return numbers, who


def _bill_rows(account: Account, numbers: payloads.Numbers, who: list[dict]) -> list[dict]:
    if not numbers.clusters:
        return []
    items = [(ANALYSIS, "mave", asking.fingerprint_of(numbers))]
    items += [(_reply_name(row), "reply", asking.reply_fingerprint(row)) for row in who]
    return [
        {"item": item, "status": "reuse" if known else "ask", "credits": 0 if known else price}
        for item, kind, print_ in items
        for known, price in [(account.kept(print_) is not None, PRICES[kind])]
    ]


def ask(run: Run) -> pd.DataFrame:
    """Ask Mave, and with ``ask_personas`` each persona, within ``max_credits``.

    The same question about the same numbers, personas and top videos is answered from the store.

    Returns
    -------
    DataFrame of one row: status (answered, clarifying, not_asked), reused, credits charged,
    sections, sources, unsupported_figures, replies [number of each].

    Raises
    ------
    CreditError
        Over budget or balance, credits used up, or an outcome could not be known.
    ServiceError, AccessError
        Mavera failed or refused.
    """
    numbers, who = _to_ask(run)
    content = {**NOTHING, "question": asking.text(numbers)}
    if not numbers.clusters:
        content |= {"question": None, "reason": "There are no viewers in the window."}
        _write(run, content)
        return _status(content)
    with run.store.lock():
        account = Account(run)
        account.settle_pending()
        total = sum(row["credits"] for row in _bill_rows(account, numbers, who))
        try:
            if account.buys and total:
                before = account.approve(total)["remaining"]
                run.record(credits={"bill": account.spent() + total, "before_analysis": before})
            content |= _asked(run, account, numbers)
            for row in who:
                reply = _reply(account, row)
                if reply:
                    content["replies"] = [*content["replies"], reply]
        finally:
            _write(run, content)
            run.record(
                analysis={"status": content["status"], "reused": content["reused"]},
                credits={"spent": account.spent(), "by_item": account.by_item()},
            )
        personas.balance(run, account)
    return _status(content)


def _asked(run: Run, account: Account, numbers: payloads.Numbers) -> dict[str, Any]:
    """Mave's answer: from the store, else from Mave."""
    print_ = asking.fingerprint_of(numbers)
    if account.kept(print_) is None:
        if not account.buys:
            return {"reason": "max_credits is 0: the question is shown, and not asked."}

        def send(entry):
            payload = payloads.Chat(message=asking.text(numbers, entry.mark))
            return account.mavera.chat(payload)

        account.charge("mave", ANALYSIS, send, fingerprint=print_)
    found = _understood(account, print_, numbers.body())
    if not found.get("by_cluster") and _asks_back(found["answer"]):
        found |= {"status": "clarifying", "closing": None, "unsupported_figures": []}
    return found


def _asks_back(text: str) -> bool:
    """Whether an answer without a section on any cluster is a list of questions."""
    return len(text) <= 2000 and "?" in text


def _understood(account: Account, print_: str, data: dict[str, Any]) -> dict[str, Any]:
    """An answer of the store taken apart: clusters, closing, sources, figures, confidence."""
    kept = account.kept(print_)
    if kept is None or not str(kept.get("content") or "").strip():
        return {"status": "clarifying", "reason": "Mave's answer was empty.", "answer": ""}
    text = str(kept["content"])
    charged = sum(
        account.credits_of(entry) for entry in account.bought("mave") if entry.fingerprint == print_
    )
    found = {
        "status": "clarifying" if answers.is_clarifying(text) else "answered",
        "asked_on": kept["asked_on"],
        "reused": not charged,
        "answer": text,
        "credits": charged,
        "thread_id": kept.get("thread_id"),
        "sources": answers.links(kept.get("sources")),
        "confidence": _confidence(kept.get("validation")),
    }
    if found["status"] == "answered":
        titles = {row["cluster"]: row["title"] for row in data["clusters"]}
        parts, closing = answers.sections(text, titles, [name for name, _ in asking.POINTS])
        found |= {"by_cluster": parts, "closing": closing}
        found["unsupported_figures"] = claims.unsupported(text, data)
    return found


def _confidence(validation: Any) -> dict[str, Any] | None:
    """What Mavera says of its own answer; guides promise it, the reference does not."""
    if not isinstance(validation, dict):
        return None
    claimed = validation.get("unsupported_claims")
    return {
        "score": next((v for v in [validation.get("confidence_score")]
                       if isinstance(v, int | float)), None),
        "risk": payloads.clean(validation.get("hallucination_risk") or "", 60) or None,
        "unsupported_claims": [
            payloads.clean(claim, 300)
            for claim in (claimed if isinstance(claimed, list) else [])[:20]
            if isinstance(claim, str)
        ],
    }  # fmt: skip


def _reply_name(row: dict[str, Any]) -> str:
    return f"Reply of {row['name']}"


def _reply(account: Account, row: dict[str, Any]) -> dict[str, Any] | None:
    """One persona's own words; as text when they break the schema; None when not bought."""
    print_, reply = asking.reply_fingerprint(row), {"cluster": row["cluster"], "name": row["name"]}
    if account.kept(print_) is None:
        if not account.buys:
            return None
        payload = asking.reply_payload(row)
        account.charge(
            "reply",
            _reply_name(row),
            lambda _: account.mavera.respond(payload),
            fingerprint=print_,
            cluster=row["cluster"],
        )
    try:
        text = str(account.kept(print_)["output"][0]["content"][0]["text"] or "")
    except (TypeError, KeyError, IndexError):
        return {**reply, "text": LOST}
    try:
        said = json.loads(text)
        jsonschema.validate(said, payloads.REPLY_SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return {**reply, "text": payloads.clean(text, 1500) or EMPTY}
    return {**reply, **{key: payloads.clean(value, 1500) for key, value in said.items()}}


def follow_up(run: Run, text: str) -> answers.Shown:
    """Ask Mave something more in the thread of its answer, within ``max_credits``.

    Parameters
    ----------
    text : str
        The question; nothing about a single person.

    Raises
    ------
    ParameterError
        Mave has not answered yet, or the question is empty, too long or holds an e-mail address.
    CreditError, ServiceError, AccessError
        See :func:`ask`.
    """
    plain, content = payloads.question_of_analyst(text), read(run)
    thread = content["thread_id"]
    if not thread:
        raise ParameterError(
            "Follow-up question: Mave has not answered in this run, so there is no thread to go on "
            "in. Run analysis.ask(run) with credits allowed first."
        )
    print_ = fingerprint(["follow-up", thread, plain])
    with run.store.lock():
        account = Account(run)
        account.settle_pending()
        if account.kept(print_) is None:
            if not account.buys:
                return answers.Shown("<p>max_credits is 0: the question was not sent.</p>")
            account.approve(PRICES["mave"])

            def send(entry):
                message = f"{plain}\n\n{asking.SIGN}{entry.mark}\n"
                return account.mavera.chat(payloads.Chat(message=message, thread_id=thread))

            account.charge("mave", "Follow-up question", send, fingerprint=print_, thread_id=thread)
        numbers, _ = _to_ask(run)
        found = {"question": plain, **_understood(account, print_, numbers.body())}
        content["follow_ups"] = [
            known for known in content["follow_ups"] if known["question"] != plain
        ] + [found]
        _write(run, content)
        run.record(credits={"spent": account.spent(), "by_item": account.by_item()})
    return answers.Shown(
        _banner(run, found) + answers.markdown_html(found["answer"], found["unsupported_figures"])
    )


def _write(run: Run, content: dict[str, Any]) -> None:
    write_json(run.data(FILE), content)


def _status(content: dict[str, Any]) -> pd.DataFrame:
    row = {key: content[key] for key in ("status", "reused", "credits")}
    row["sections"] = len(content["by_cluster"])
    row |= {key: len(content[key]) for key in ("sources", "unsupported_figures", "replies")}
    return pd.DataFrame([row])


def answer(run: Run) -> answers.Shown:
    """Mave's answer as HTML: marked as written by AI, figures the data do not hold marked too."""
    content = read(run)
    if content["status"] == "not_asked":
        return answers.Shown(f"<p>Mave was not asked. {html.escape(content['reason'])}</p>")
    wrong = content["unsupported_figures"]
    parts = [_banner(run, content), answers.markdown_html(content["answer"], wrong)]
    if content["status"] == "clarifying":
        parts.insert(1, "<p><strong>Mave asks back; this is a question, not advice.</strong></p>")
    if wrong:
        listed = ", ".join(html.escape(figure) for figure in wrong)
        parts.append(f"<p>Figures that are not in the data that was sent: {listed}.</p>")
    for name, link in ((row["title"], row["url"]) for row in content["sources"]):
        parts.append(
            f'<p>Source: <a href="{html.escape(link)}" rel="noopener noreferrer nofollow">'
            f"{html.escape(name)}</a></p>"
        )
    for reply in content["replies"]:
        said = reply.get("text") or (
            f"To watch on: {reply['watch_on']} To talk to sales: {reply['talk_to_sales']}"
        )
        parts.append(f"<p><strong>{html.escape(reply['name'])}</strong>: {html.escape(said)}</p>")
    return answers.Shown("\n".join(parts))


def _banner(run: Run, content: dict[str, Any]) -> str:
    origin = "Written by AI: Mave, Mavera's research agent."
    if run.source.mavera == "sandbox":
        origin = "A sandbox answer: a program composed it from the numbers sent; no AI wrote it."
    again = f" Answered on {content['asked_on']}, and kept." if content.get("reused") else ""
    score = (content.get("confidence") or {}).get("score")
    score = "" if score is None else f" Confidence as Mavera states it: {score:g}."
    return f"<p><em>{html.escape(origin + again + score)}</em></p>"
