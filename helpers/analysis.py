"""Stage 05: one question to Mave about all clusters, its answer, and what the personas say."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup
from pydantic import ValidationError

from helpers import personas
from helpers.core import files
from helpers.core.errors import ParameterError
from helpers.core.privacy import clean_text
from helpers.findings.section import Section
from helpers.mavera import answers, payloads, prompts
from helpers.mavera.answers import Shown
from helpers.mavera.bill import Purchase
from helpers.mavera.claims import MISSING, SentData
from helpers.mavera.purchases import Account, open_account
from helpers.mavera.results import Analysis, PersonaRow, Reply
from helpers.run import Run

FILE = "analysis.json"
LOST = "(The reply was charged and did not arrive.)"
EMPTY = "(The reply was empty.)"
NOT_SENT = "max_credits is 0: the question is shown, and not asked."


def question(run: Run) -> Shown:
    """The message to Mave, exactly but for the mark that makes its thread recognisable."""
    asked = prompts.ask_mave(personas.numbers_of(run, personas.read(run)))
    message = asked.payload.message
    return Shown(prompts.write("message.html.j2", text=message), message)


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
        return account.bill([], personas.questions(run, personas.read(run))).table()


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
    asked = personas.questions(run, known)
    if not asked:
        _write(run, content)
        return _status(content)
    numbers = personas.numbers_of(run, known)
    content = Analysis(question=asked[0].payload.message)
    with open_account(run) as account:
        try:
            _approve(account, asked)
            titles = {cluster.cluster: cluster.title for cluster in numbers.clusters}
            content = _ask(account, asked[0], numbers.body(), titles)
            for row in known.personas:
                if run.params.ask_personas and row.persona_id:
                    content.replies += _reply(account, row)
        finally:
            _write(run, content)
        account.record_balance()
    return _status(content)


def _status(content: Analysis) -> pd.DataFrame:
    row = {key: getattr(content, key) for key in ("status", "reused", "credits")}
    row["sections"] = len(content.by_cluster)
    counted = ("sources", "unsupported_figures", "replies")
    return pd.DataFrame([row | {key: len(getattr(content, key)) for key in counted}])


def _approve(account: Account, asked: list[Purchase]) -> None:
    wanted = account.bill([], asked)
    if account.buys and wanted.total:
        account.approve(wanted)


def _ask(account: Account, asked: Purchase, data: dict, titles: dict[str, str]) -> Analysis:
    """Mave's answer: from the ledger, else from Mave; taken apart, its figures looked up."""
    entry = account.obtain(asked)
    found = Analysis(question=asked.payload.message, reason=NOT_SENT)
    if entry is None:
        return found
    text = clean_text(str(entry.answer.get("content") or "")).strip()
    found.status, found.reason, found.answer = "answered", None, text
    found.reused, found.asked_on = entry not in account.paid(), entry.date[:10]
    found.credits = 0 if found.reused else entry.credits
    found.thread_id, found.sources = entry.thread_id, answers.links(entry.answer.get("sources"))
    found.confidence = entry.answer.get("validation")
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


def _reply(account: Account, row: PersonaRow) -> list[Reply]:
    """One persona's own words; as text when they break the schema; none when not bought."""
    entry = account.obtain(prompts.ask_persona(row))
    if entry is None:
        return []
    try:
        text = str(entry.answer["output"][0]["content"][0]["text"] or "")
        said = payloads.Reply.model_validate_json(text).body()
    except (TypeError, KeyError, IndexError):
        said = {"text": LOST}
    except ValidationError:
        said = {"text": payloads.clean(text, 1500) or EMPTY}
    return [Reply(cluster=row.cluster, name=row.name, **said)]


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
    if not content.thread_id:
        told = "Mave has not answered in this run, so there is no thread to go on in."
        raise ParameterError(told, remedy="Run analysis.ask(run) with credits allowed first.")
    chat = payloads.Chat(message=plain, thread_id=content.thread_id)
    asked = Purchase("mave", prompts.FOLLOW_UP, chat)
    data = personas.numbers_of(run, personas.read(run)).body()
    with open_account(run) as account:
        _approve(account, [asked])
        found = _ask(account, asked, data, {})
    others = [known for known in content.follow_ups if known.question != plain]
    content.follow_ups = [*others, found]
    _write(run, content)
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
    titles, asked = {row["cluster"]: row["title"] for row in rows}, prompts.ask_edits(sent)
    with open_account(run) as account:
        _approve(account, [asked])
        found = _ask(account, asked, {"clusters": rows}, titles)
    content = read(run) if run.find(FILE) else Analysis(reason="Stage 05 has not run.")
    content.edits = found
    _write(run, content)
    if found.status == "not_asked":
        return Section(f"Mave was not asked for edits, at most 75 credits. {found.reason}")
    rows = [
        (titles.get(name, "all videos"), "\n".join(answers.excerpt(text, found.figures, 99, 1500)))
        for name, text in (found.by_cluster or {"": found.answer}).items()
    ]
    places = f"{len(drops)} place{'s' if len(drops) > 1 else ''}"
    return Section(
        f"Mave proposes edits at {places} where viewers leave.",
        pd.DataFrame(rows, columns=["title", "edits"]),
        {"title": "video", "edits": "edits"},
        _origin(run, found),
    )


def answer(run: Run) -> Shown:
    """Mave's answer as HTML: marked as written by AI, figures the data do not hold marked too."""
    return _show(run, read(run))


def _show(run: Run, content: Analysis) -> Shown:
    prose = Markup(answers.markdown_html(content.answer, content.figures))
    origin = _origin(run, content)
    return Shown(prompts.write("answer.html.j2", content=content, origin=origin, prose=prose))


def _origin(run: Run, content: Analysis) -> str:
    sandbox = run.source.mavera == "sandbox"
    return prompts.write("origin.txt.j2", content=content, sandbox=sandbox)
