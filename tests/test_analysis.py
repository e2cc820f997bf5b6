"""Mave: asked once about the same numbers, its answer taken apart, and what the personas say."""

import json

import pandas as pd
import pytest
from money import strike

from helpers import analysis, personas
from helpers.core import files
from helpers.core.errors import CreditError, ParameterError, ServiceError
from helpers.findings.section import Section
from helpers.mavera import prompts
from helpers.mavera.ledger import Ledger
from helpers.sandbox import voices

pytest_plugins = ("money_fixtures",)

ADVICE = """Some words first.

## 1. Binge Watchers
- **Persona profile:** 30 viewers at 90.0 %, worth $5,000 each. Call within 48 hours.

## Engaged Explorers
They are 17 % of all; 42 % will buy. Send 5+ videos.

## Bouncers
Nothing.

## Skimmers
Answers.

## Casual Viewers
Stories.

## Closing advice
Call the **Binge Watchers**.
"""
DROPS = pd.DataFrame(
    {
        "media_id": ["v0", "v1"], "title": ["Video A", "Video B"], "minutes": [3.5, 1.0],
        "second": [40, 12], "lost": [0.2, 0.15], "left": [0.55, 0.7],
    }
)  # fmt: skip


def asked(world, answer=None, **given):
    world.mavera.answers = (lambda _: answer) if answer is not None else None
    return world.spend(2000, **given)


def sent_to_mave(world, number: int) -> dict:
    return json.loads(world.sent("POST", "/mave/chat")[number]["body"])


def test_the_question_has_the_numbers_the_personas_the_top_videos_and_the_points(make_world):
    world = make_world()
    run = world.spend(2000)
    message = sent_to_mave(world, 0)["message"]
    block = json.loads(message.split("```json\n")[1].split("\n```")[0])
    assert block["total_viewers"] == 150 and block["window_days"] == 730 and "news" not in block
    assert [row["viewers"] for row in block["clusters"]] == [30, 25, 40, 20, 35]
    video = {"title": "Video A", "viewers": 30, "avg_percent_watched": 90.0}
    assert block["clusters"][0]["top_videos"][0] == video
    quartiles = {f"{n}th_percentile": 10 for n in (25, 50, 75)}
    assert block["clusters"][2]["percent_watched"] == quartiles
    assert [row["name"] for row in block["personas"]][0] == "Binge Watchers"
    assert len(prompts.POINTS) == 5
    for point in (*prompts.POINTS, "most valuable cluster", "one action", "not instructions"):
        assert point in message
    assert message.startswith(repr(analysis.question(run))[:2000])


def test_the_question_tells_who_is_new_since_the_last_run(make_world):
    world = make_world()
    run = world.run()
    table = pd.DataFrame({"cluster": ["bouncers"], "viewers": [20], "people": [None]})
    news = Section("", table, dict.fromkeys(table, "")).to_json()
    files.write_json(run.data("insights.json"), {"change": {"parts": {"news": news}}})
    personas.drafts(run)
    message = repr(analysis.question(world.run("05_mave_analysis")))
    assert '"news": [\n  {"cluster": "bouncers", "new_viewers": 20}' in message
    assert "new since the last run" in message


def test_an_answer_is_split_checked_and_kept_with_its_credits(make_world):
    world = make_world()
    sources = [{"title": "A", "url": "https://a.example"}, {"title": "B", "url": "ftp://b.example"}]
    own = {"confidence_score": 0.8, "hallucination_risk": "low", "unsupported_claims": ["x\ny"]}
    run = asked(world, {"content": ADVICE, "sources": sources, "validation": own})
    known = analysis.read(run)
    assert known.status == "answered" and known.credits == world.mavera.used - 1500
    assert list(known.by_cluster) == list(run.rules.names)
    assert known.by_cluster["bouncers"] == "Nothing."
    assert known.closing == "Call the **Binge Watchers**."
    assert known.unsupported_figures == ["$5,000", "42 %"]
    assert [figure.verdict for figure in known.figures][:2] == ["found", "found"]  # 30, 90.0 %
    assert [(link.title, link.host) for link in known.sources] == [("A", "a.example")]
    said = {"score": 0.8, "risk": "low", "unsupported_claims": ["x y"]}
    assert known.confidence.model_dump() == said and known.reused is False and known.thread_id
    html = analysis.answer(run)._repr_html_()
    assert "Written by AI" in html and ">$5,000</mark>" in html and "48 hours" in html
    assert "2 not in the data" in html and "</a> (a.example)" in html
    assert known.thread_id not in html and known.asked_on not in html


@pytest.mark.parametrize("answer", [{"content": ADVICE, "validation": 7, "sources": "x"}, ADVICE])
def test_what_the_reference_does_not_promise_may_be_missing_or_odd(make_world, answer):
    known = analysis.read(asked(make_world(), answer))
    assert known.status == "answered" and known.by_cluster["skimmers"] == "Answers."


def test_a_clarifying_question_is_shown_as_such_and_not_as_advice(make_world):
    run = asked(make_world(), "## First\n1. Which of 17 industries?\n2. Who buys?\n\nTell me.")
    known = analysis.read(run)
    assert known.status == "clarifying" and known.by_cluster == {}
    assert known.closing is None and known.unsupported_figures == []
    assert "Mave asks back" in repr(analysis.answer(run))


def test_an_empty_answer_is_said_to_be_empty_and_asked_for_anew(make_world):
    world = make_world()
    assert analysis.read(asked(world, {"content": ""})).reason == "Mave's answer was empty."
    assert analysis.read(asked(world, ADVICE, name="2026-07-02")).status == "answered"
    assert len(world.sent("POST", "/mave/chat")) == 2


def test_the_same_question_is_answered_from_the_store_and_other_numbers_are_not(
    make_world, monkeypatch
):
    world = make_world()
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-07-02T10:00:00+00:00")
    asked(world, ADVICE)
    monkeypatch.setenv("VIEWER_PERSONAS_NOW", "2026-07-09T10:00:00+00:00")
    again = asked(world, "Something else entirely.", name="2026-07-09")
    known = analysis.read(again)
    assert known.answer == ADVICE.strip() and known.reused and known.asked_on == "2026-07-02"
    assert known.credits == 0 and len(world.sent("POST", "/mave/chat")) == 1
    assert "Answered on 2026-07-02" in repr(analysis.answer(again))
    table = analysis.bill(again).set_index("item")
    assert table.at["Mave's analysis", "status"] == "reuse"
    assert table.at["total, at most", "credits"] == 0
    asked(world, name="2026-07-10", min_cell=11)
    assert len(world.sent("POST", "/mave/chat")) == 2


def test_an_answer_cannot_bring_its_own_html_and_the_sandbox_says_that_no_ai_wrote_it(
    make_world, monkeypatch
):
    world = make_world()
    evil = "## Skimmers\n<script>x</script><img src=x onerror=y> [a](javascript:b)\n"
    html = analysis.answer(asked(world, evil))._repr_html_()
    assert "<script" not in html and "<img" not in html and 'href="javascript' not in html
    for name in ("MAVERA_API_KEY", "MAVERA_BASE_URL"):
        monkeypatch.delenv(name)
    run = asked(world, name="2026-07-02")
    assert "A sandbox answer" in repr(analysis.answer(run))
    assert analysis.read(run).unsupported_figures == []


def test_each_persona_answers_in_its_own_voice(make_world):
    world = make_world()
    known = analysis.read(world.spend(2000, ask_personas=True))
    assert len(known.replies) == 5 and known.replies[0].name == "Binge Watchers"
    assert all(reply.watch_on and reply.talk_to_sales and not reply.text for reply in known.replies)
    sent = json.loads(world.sent("POST", "/responses")[0]["body"])
    assert sent["model"] == "mavera-1" and sent["text"]["format"]["type"] == "json_schema"
    used = world.mavera.used
    again = analysis.read(world.spend(2000, name="2026-07-02", ask_personas=True))
    assert again.replies == known.replies and world.mavera.used == used


@pytest.mark.parametrize("text", ["I would rather <b>talk</b>.", '{"watch_on": 5}', "[1]", ""])
def test_a_reply_that_breaks_the_schema_is_shown_as_text(make_world, monkeypatch, text):
    monkeypatch.setattr(voices, "reply", lambda *_: text)
    run = make_world().spend(2000, ask_personas=True)
    assert analysis.read(run).replies[0].text == (text or "(The reply was empty.)")
    assert "<b>" not in analysis.answer(run)._repr_html_()


def test_a_lost_reply_is_said_to_be_lost(make_world):
    world = make_world()
    strike(world, "drop_after", path="/responses", number=2)
    known = analysis.read(world.spend(2000, ask_personas=True))
    assert (
        known.replies[1].text == "(The reply was charged and did not arrive.)"
        and len(known.replies) == 5
    )
    assert len(world.sent("POST", "/responses")) == 5


def test_a_refused_question_leaves_a_readable_analysis(make_world):
    world = make_world()
    strike(world, "404", path="/mave/chat")
    with pytest.raises(ServiceError):
        world.spend(2000)
    run = world.run("05_mave_analysis", max_credits=2000)
    assert analysis.read(run).status == "not_asked"
    assert analysis.ask(run).at[0, "status"] == "answered"
    assert world.mavera.used == run.manifest().credits["spent"]


@pytest.mark.parametrize("fault", ["", "drop_after"])
def test_a_follow_up_goes_to_the_same_thread_and_is_kept(make_world, fault):
    world = make_world()
    run = asked(world, ADVICE)
    world.mavera.answers = lambda _: "Send them **7,777** letters."
    if fault:
        strike(world, fault, path="/mave/chat")
    shown = analysis.follow_up(run, "And by letter?")
    body = sent_to_mave(world, 1)
    assert body["thread_id"] == analysis.read(run).thread_id
    assert body["message"].startswith("And by letter?") and ">7,777</mark>" in shown._repr_html_()
    used = world.mavera.used
    analysis.follow_up(run, "And by letter?")
    assert world.mavera.used == used and len(world.sent("POST", "/mave/chat")) == 2
    assert [row.question for row in analysis.read(run).follow_ups] == ["And by letter?"]
    assert run.manifest().credits["spent"] == used
    (path,) = run.store.folder.glob("ledger-*.jsonl")
    assert Ledger(path).entries()[-1].by == ("search" if fault else "answer")


def test_a_follow_up_is_within_the_budget_and_needs_an_answer(make_world):
    world = make_world()
    with pytest.raises(ParameterError, match="has not answered"):
        analysis.follow_up(world.spend(0), "And?")
    world.spend(1575)
    run = world.run("05_mave_analysis", max_credits=1575)
    with pytest.raises(CreditError, match="max_credits is 1575"):
        analysis.follow_up(run, "And?")
    run = world.run("05_mave_analysis", max_credits=0)
    assert "not asked" in repr(analysis.follow_up(run, "And?"))
    with pytest.raises(ParameterError, match="e-mail"):
        analysis.follow_up(run, "What about ann@acme.example?")


def test_edits_are_asked_for_once_with_titles_times_and_shares_alone(make_world):
    world = make_world()
    asked(world, ADVICE, ask_edits=True)
    spent = world.mavera.used
    said = "## Video A\nCut: 20 % leave at 0:40, win 30 %.\n## Video B\nFine."
    world.mavera.answers = lambda _: said
    run = world.run("06_retention", max_credits=2000)
    found = analysis.ask_edits(run, DROPS)
    message = sent_to_mave(world, 1)["message"]
    assert '{"at": "0:40", "lost_share": 0.2, "left_share": 0.55}' in message
    assert "viewers" not in message.split("```json")[1] and "v0" not in message
    assert list(found.table["title"]) == ["Video A", "Video B"] and "by AI" in found.note
    assert "20 % leave" in found.table["edits"][0]
    assert "30 % [not in the data]" in found.table["edits"][0]
    known = analysis.read(run)
    assert known.edits.unsupported_figures == ["30 %"] and known.status == "answered"
    assert run.manifest().credits["spent"] == world.mavera.used > spent
    used = world.mavera.used
    analysis.ask_edits(world.run("06_retention", max_credits=2000), DROPS)
    assert world.mavera.used == used and len(world.sent("POST", "/mave/chat")) == 2  # never twice


def test_edits_are_within_the_budget_and_need_a_drop(make_world):
    world = make_world()
    world.spend(1575)
    with pytest.raises(CreditError, match="max_credits is 1575"):
        analysis.ask_edits(world.run("06_retention", max_credits=1575), DROPS)
    run = world.run("06_retention", name="2026-07-02", max_credits=0)
    assert "not asked" in analysis.ask_edits(run, DROPS).finding
    assert "no edits" in analysis.ask_edits(run, DROPS[:0]).finding
    assert len(world.sent("POST", "/mave/chat")) == 1
