"""Stage 05: one question to Mave about all clusters, its answer, and what the personas say."""

from __future__ import annotations

import html

import pandas as pd
from pydantic import ValidationError

from helpers import personas
from helpers.core import files
from helpers.core.errors import ParameterError
from helpers.core.privacy import clean_text
from helpers.findings.section import Section
from helpers.mavera import answers, payloads, prompts
from helpers.mavera.answers import Shown
from helpers.mavera.bill import BillRow
from helpers.mavera.claims import DERIVED, FOUND, MISSING, SentData
from helpers.mavera.ledger import Entry
from helpers.mavera.purchases import Account, open_account
from helpers.mavera.results import Analysis, Confidence, PersonaRow, Reply
from helpers.run import Run

FILE = "analysis.json"
EDITS, FOLLOW_UP = "Mave's edits", "Follow-up question"
LOST = "(The reply was charged and did not arrive.)"
EMPTY = "(The reply was empty.)"
NOT_SENT = "max_credits is 0: the question is shown, and not asked."


def question(run: Run) -> Shown:
    """The message to Mave, exactly but for the mark that makes its thread recognisable."""
    return answers.show_message(prompts.write_question(_numbers(run)))


def _numbers(run: Run) -> payloads.Numbers:
    return personas.numbers_of(run, personas.read(run))


def read(run: Run) -> Analysis:
    """analysis.json of the run."""
    return Analysis.model_validate(files.read_json(run.need(FILE, "05_mave_analysis")))


def _write(run: Run, content: Analysis) -> None:
    run.write_json(FILE, content.model_dump())
    run.record(analysis={"status": content.status, "reused": content.reused})


def bill(run: Run) -> pd.DataFrame:
    """What the question and the replies cost at most; buys nothing.

    Returns
    -------
    DataFrame: item, status (reuse, ask), credits [at most]; then the total and the balance.
    """
    with open_account(run) as account:
        return account.bill(personas.questions(run, account, personas.read(run))).table()


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
    known, content = personas.read(run), Analysis(reason="There are no viewers in the window.")
    if not known.personas:
        _write(run, content)
        return _status(content)
    numbers = personas.numbers_of(run, known)
    message = prompts.write_question(numbers)
    titles = {cluster.cluster: cluster.title for cluster in numbers.clusters}
    content = Analysis(question=message)
    with open_account(run) as account:
        try:
            _approve(account, personas.questions(run, account, known))
            content = _ask(account, personas.ANALYSIS, message, numbers.body(), titles)
            for row in known.personas:
                if run.params.ask_personas and row.persona_id:
                    content.replies += _reply(account, row)
        finally:
            _write(run, content)
            account.record()
        account.record_balance()
    return _status(content)


def _status(content: Analysis) -> pd.DataFrame:
    row = {key: getattr(content, key) for key in ("status", "reused", "credits")}
    row["sections"] = len(content.by_cluster)
    counted = ("sources", "unsupported_figures", "replies")
    return pd.DataFrame([row | {key: len(getattr(content, key)) for key in counted}])


def _approve(account: Account, rows: list[BillRow]) -> None:
    wanted = account.bill(rows)
    if account.buys and wanted.total:
        account.approve(wanted)


def _ask(
    account: Account, name: str, message: str, data: dict, titles: dict, thread: str | None = None
) -> Analysis:
    """Mave's answer: from the store, else from Mave; taken apart, its figures looked up."""
    print_ = prompts.fingerprint_of(message, thread)
    if account.kept(print_) is None:
        if not account.buys:
            return Analysis(question=message, reason=NOT_SENT)

        def send(entry: Entry) -> dict:
            signed = prompts.signed(message, entry.mark)
            return account.mavera.chat(payloads.Chat(message=signed, thread_id=thread))

        account.charge("mave", name, send, fingerprint=print_, thread_id=thread)
    kept, charged = account.kept(print_) or {}, account.spent(fingerprint=print_)
    text = clean_text(str(kept.get("content") or "")).strip()
    found = Analysis(status="answered", question=message, answer=text, credits=charged)
    found.asked_on, found.reused = kept.get("asked_on"), not charged
    found.thread_id, found.sources = kept.get("thread_id"), answers.links(kept.get("sources"))
    found.confidence = _confidence(kept.get("validation"))
    pieces = answers.split_answer(text, titles, prompts.POINTS)
    if answers.asks_back(text, pieces if titles else None):
        found.status, found.reason = "clarifying", None if text else "Mave's answer was empty."
        return found
    sent = SentData(data)
    for piece in pieces:
        found.figures += sent.check(f"{piece.heading}\n{piece.text}", piece.cluster)
        if piece.cluster:
            before = found.by_cluster.get(piece.cluster, "")
            found.by_cluster[piece.cluster] = f"{before}\n\n{piece.text}".strip()
    wrong = [figure.text for figure in found.figures if figure.verdict == MISSING]
    found.unsupported_figures = list(dict.fromkeys(wrong))
    if found.by_cluster and not pieces[-1].cluster:
        found.closing = pieces[-1].text or None
    return found


def _confidence(validation: object) -> Confidence | None:
    """What Mavera says of its own answer; guides promise it, the reference does not."""
    if not isinstance(validation, dict):
        return None
    score, claimed = validation.get("confidence_score"), validation.get("unsupported_claims")
    claims = claimed[:20] if isinstance(claimed, list) else []
    return Confidence(
        score=score if isinstance(score, int | float) else None,
        risk=payloads.clean(validation.get("hallucination_risk") or "", 60) or None,
        unsupported_claims=[payloads.clean(c, 300) for c in claims if isinstance(c, str)],
    )


def _reply(account: Account, row: PersonaRow) -> list[Reply]:
    """One persona's own words; as text when they break the schema; none when not bought."""
    print_, about = prompts.fingerprint_of_reply(row), {"cluster": row.cluster, "name": row.name}
    if account.kept(print_) is None:
        if not account.buys:
            return []
        name, response = f"Reply of {row.name}", prompts.build_response(row)
        about_it = {"fingerprint": print_, "cluster": row.cluster}
        account.charge("reply", name, lambda _: account.mavera.respond(response), **about_it)
    try:
        text = str(account.kept(print_)["output"][0]["content"][0]["text"] or "")
    except (TypeError, KeyError, IndexError):
        return [Reply(**about, text=LOST)]
    try:
        said = payloads.Reply.model_validate_json(text).body()
    except ValidationError:
        return [Reply(**about, text=payloads.clean(text, 1500) or EMPTY)]
    return [Reply(**about, **{key: payloads.clean(value, 1500) for key, value in said.items()})]


def follow_up(run: Run, text: str) -> Shown:
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
    plain, content = payloads.check_question(text), read(run)
    thread = content.thread_id
    if not thread:
        raise ParameterError(
            "Mave has not answered in this run, so there is no thread to go on in.",
            where="Follow-up question",
            remedy="Run analysis.ask(run) with credits allowed first.",
        )
    data = personas.numbers_of(run, personas.read(run)).body()
    with open_account(run) as account:
        _approve(account, [account.ask(FOLLOW_UP, "mave", prompts.fingerprint_of(plain, thread))])
        found = _ask(account, FOLLOW_UP, plain, data, {}, thread)
        others = [known for known in content.follow_ups if known.question != plain]
        content.follow_ups = [*others, found]
        _write(run, content)
        account.record()
    return _show(run, found)


def ask_edits(run: Run, drops: pd.DataFrame) -> Section:
    """Ask Mave once for edits where videos lose their viewers, within ``max_credits``.

    Parameters
    ----------
    drops : DataFrame
        media_id, title, minutes [length of the video], second, lost and left [shares of those at
        the start, 0 to 1]; nothing else of it is sent.

    Returns
    -------
    Section
        One row per video: title, edits [plain text, figures that are not in the data marked].

    Raises
    ------
    CreditError, ServiceError, AccessError
        See :func:`ask`.
    """
    if drops.empty:
        return Section("No video loses its viewers at one place, so Mave was asked for no edits.")
    sent = payloads.build_drops(drops)
    rows = [{"cluster": f"v{n}"} | video for n, video in enumerate(sent.body()["videos"])]
    titles, message = {row["cluster"]: row["title"] for row in rows}, prompts.write_edits(sent)
    with open_account(run) as account:
        _approve(account, [account.ask(EDITS, "mave", prompts.fingerprint_of(message))])
        found = _ask(account, EDITS, message, {"clusters": rows}, titles)
        content = read(run) if run.find(FILE) else Analysis(reason="Stage 05 has not run.")
        content.edits = found
        _write(run, content)
        account.record()
    if found.status == "not_asked":
        return Section(f"Mave was not asked for edits, at most 75 credits. {found.reason}")
    texts = found.by_cluster or {"": found.answer}
    table = pd.DataFrame({"title": [titles.get(name, "all videos") for name in texts]})
    plain = (answers.excerpt(t, found.figures, lines=99, length=1500) for t in texts.values())
    table["edits"] = ["\n".join(lines) for lines in plain]
    places = f"{len(drops)} place{'s' if len(drops) > 1 else ''}"
    return Section(
        f"Mave proposes edits at {places} where viewers leave.",
        table,
        {"title": "video", "edits": "edits"},
        answers.to_text(_banner(run, found)),
    )


def answer(run: Run) -> Shown:
    """Mave's answer as HTML: marked as written by AI, figures the data do not hold marked too."""
    content = read(run)
    if content.status == "not_asked":
        return Shown(f"<p>Mave was not asked. {html.escape(content.reason or '')}</p>")
    shown = _show(run, content).html
    for reply in content.replies:
        said = reply.text or (
            f"To watch on: {reply.watch_on} To talk to sales: {reply.talk_to_sales}"
        )
        shown += f"<p><strong>{html.escape(reply.name)}</strong>: {html.escape(said)}</p>\n"
    return Shown(shown)


def _show(run: Run, content: Analysis) -> Shown:
    parts = [_banner(run, content)]
    if content.status == "not_asked":
        return Shown(f"<p>{html.escape(content.reason or '')}</p>")
    if content.status == "clarifying":
        parts.append("<p><strong>Mave asks back; this is a question, not advice.</strong></p>")
    parts.append(answers.markdown_html(content.answer, content.figures))
    verdicts = [figure.verdict for figure in content.figures]
    if verdicts:
        counts = ", ".join(f"{verdicts.count(name)} {name}" for name in (FOUND, DERIVED, MISSING))
        parts.append(f"<p>Figures: {counts}. A number that is found may still be misread.</p>")
    for source in content.sources:
        link = f'<a href="{html.escape(source.url)}" rel="noopener noreferrer nofollow">'
        named = f"{html.escape(source.title)}</a> ({html.escape(source.host)})"
        parts.append(f"<p>Source: {link}{named}</p>")
    return Shown("\n".join(parts) + "\n")


def _banner(run: Run, content: Analysis) -> str:
    origin = "Written by AI: Mave, Mavera's research agent."
    if run.source.mavera == "sandbox":
        origin = "A sandbox answer: a program composed it from the numbers sent; no AI wrote it."
    again = f" Answered on {content.asked_on}, and kept." if content.reused else ""
    score = content.confidence.score if content.confidence else None
    score = "" if score is None else f" Confidence as Mavera states it: {score:g}."
    return f"<p><em>{html.escape(origin + again + score)}</em></p>"
