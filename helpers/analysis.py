"""Stage 05: one question to Mave about all clusters, its answer, and what the personas say."""

import pandas as pd
from markupsafe import Markup
from pydantic import ValidationError

from helpers import personas
from helpers.core import files
from helpers.core.errors import ParameterError
from helpers.core.privacy import clean_line, clean_text
from helpers.findings.section import Section, make_section
from helpers.mavera import answers, payloads, prompts
from helpers.mavera.claims import MISSING, SentData
from helpers.mavera.results import Analysis, PersonaRow, Reply
from helpers.personas import agent
from helpers.run import Run

FILE = "analysis.json"
NOT_SENT = "max_credits is 0: the question is shown, and not asked."


def question(run: Run) -> answers.Shown:
    """The message to Mave, exactly but for the mark that makes its thread recognisable."""
    message = prompts.ask_mave(personas.numbers_of(run, personas.read(run))).payload.message
    return answers.Shown(prompts.write("message.html.j2", text=message), message)


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
    with agent.open_account(run) as account:
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
    if not known.personas:
        _write(run, content)
        return _status(content)
    rows = {row.cluster: row for row in known.personas if row.persona_id}
    mave, *others = personas.questions(run, known)
    asked = [mave, *(reply for reply in others if reply.cluster in rows)]
    data = personas.numbers_of(run, known).body()
    content = Analysis(question=mave.payload.message)
    with agent.open_account(run) as account:
        try:
            for purchase, entry in zip(asked, account.obtain(asked), strict=True):
                if purchase is mave:
                    titles = {row.cluster: row.title for row in known.personas}
                    content = _read_answer(account, content.question, entry, data, titles)
                elif entry:
                    content.replies.append(_read_reply(entry, rows[purchase.cluster]))
        finally:
            _write(run, content)
    return _status(content)


def _status(content: Analysis) -> pd.DataFrame:
    row = {key: getattr(content, key) for key in ("status", "reused", "credits")}
    row["sections"] = len(content.by_cluster)
    counted = ("sources", "unsupported_figures", "replies")
    return pd.DataFrame([row | {key: len(getattr(content, key)) for key in counted}])


def _ask_once(run: Run, asked: agent.Purchase, data: dict, titles: dict[str, str]) -> Analysis:
    with agent.open_account(run) as account:
        (entry,) = account.obtain([asked])
        return _read_answer(account, asked.payload.message, entry, data, titles)


def _read_answer(
    account: agent.Account, question: str, entry: agent.Entry | None, data: dict, titles: dict
) -> Analysis:
    """Mave's answer taken apart by cluster, its figures looked up in what was sent."""
    if entry is None:
        return Analysis(question=question, reason=NOT_SENT)
    said, is_new = entry.answer, entry in account.paid()
    text = clean_text(str(said.get("content") or "")).strip()
    content = Analysis(
        status="answered",
        asked_on=entry.date[:10],
        reused=not is_new,
        question=question,
        answer=text,
        sources=answers.links(said.get("sources")),
        credits=entry.credits if is_new else 0,
        thread_id=entry.thread_id,
        confidence=said.get("validation"),
    )
    pieces = answers.split_answer(text, titles, prompts.POINTS)
    if answers.asks_back(text, pieces if titles else None):
        content.status = "clarifying"
        content.reason = None if text else "Mave's answer was empty."
        return content
    sent = SentData(data)
    for piece in pieces:
        content.figures += sent.check(f"{piece.heading}\n{piece.text}", piece.cluster)
        if piece.cluster:
            before = content.by_cluster.get(piece.cluster, "")
            content.by_cluster[piece.cluster] = f"{before}\n\n{piece.text}".strip()
    wrong = [figure.text for figure in content.figures if figure.verdict == MISSING]
    content.unsupported_figures = list(dict.fromkeys(wrong))
    if content.by_cluster and not pieces[-1].cluster:
        content.closing = pieces[-1].text or None
    return content


def _read_reply(entry: agent.Entry, row: PersonaRow) -> Reply:
    """One persona's own words; as text when they break the schema."""
    try:
        text = str(entry.answer["output"][0]["content"][0]["text"] or "")
        said = payloads.Reply.model_validate_json(text).body()
    except (TypeError, KeyError, IndexError):
        said = {"text": "(The reply was charged and did not arrive.)"}
    except ValidationError:
        said = {"text": clean_line(text, 1500) or "(The reply was empty.)"}
    return Reply(cluster=row.cluster, name=row.name, **said)


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
    plain, content = payloads.check_question(text), read(run)
    if not content.thread_id:
        told = "Mave has not answered in this run, so there is no thread to go on in."
        raise ParameterError(told, remedy="Run analysis.ask(run) with credits allowed first.")
    chat = payloads.Chat(message=plain, thread_id=content.thread_id)
    data = personas.numbers_of(run, personas.read(run)).body()
    found = _ask_once(run, agent.Purchase("mave", prompts.FOLLOW_UP, chat), data, {})
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
    titles = {row["cluster"]: row["title"] for row in rows}
    found = _ask_once(run, prompts.ask_edits(sent), {"clusters": rows}, titles)
    content = read(run) if run.find(FILE) else Analysis(reason="Stage 05 has not run.")
    content.edits = found
    _write(run, content)
    if found.status == "not_asked":
        return Section(f"Mave was not asked for edits, at most 75 credits. {found.reason}")
    edits = [
        (titles.get(name, "all videos"), "\n".join(answers.excerpt(text, found.figures, 99, 1500)))
        for name, text in (found.by_cluster or {"": found.answer}).items()
    ]
    table = pd.DataFrame(edits, columns=["title", "edits"])
    return make_section("edits", table, places=len(drops), origin=_origin(run, found))


def answer(run: Run) -> answers.Shown:
    """Mave's answer as HTML: marked as written by AI, figures the data do not hold marked too."""
    return _show(run, read(run))


def _show(run: Run, content: Analysis) -> answers.Shown:
    facts = {"content": content, "origin": _origin(run, content)}
    facts["prose"] = Markup(answers.markdown_html(content.answer, content.figures))
    return answers.Shown(prompts.write("answer.html.j2", **facts))


def _origin(run: Run, content: Analysis) -> str:
    return prompts.write("origin.txt.j2", content=content, source=run.source)
