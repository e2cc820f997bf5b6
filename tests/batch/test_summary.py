"""What a run ends by telling: plain text of the run's files."""

import pytest

from helpers.batch import summary
from helpers.core import files, folders


def tell(folder, *, mavera="live", bill=None, answer=None, **facts) -> str:
    """The summary of a run with these facts and no others."""
    (folder / "run.json").unlink(missing_ok=True)
    folders.record(
        folder,
        account="a",
        source={"wistia": "live", "mavera": mavera},
        window={"start_date": "2026-06-01", "end_date": "2026-06-30"},
        **{"counts": {"viewers": 5}, **facts},
    )
    files.write_json(folder / "data" / "personas.json", {"personas": [], "bill": bill})
    files.write_json(folder / "data" / "analysis.json", answer or {"status": "not_asked"})
    return "\n".join(summary.tell("summary", folder))


@pytest.fixture
def folder(bare_environment):
    return bare_environment / "2026-07-01"


def test_it_tells_counts_news_clusters_and_credits(folder):
    news = {"news": {"finding": "New: 284 viewers."}}
    found = {"change": {"finding": "No share changed.", "parts": news}}
    found["people"] = {"finding": "20 to call."}
    files.write_json(folder / "data" / "insights.json", found)
    (folder / "data" / "clusters.csv").write_text(
        "cluster,viewers,share,avg_videos,identified_share\n"
        "bouncers,2,1.0,1.0,0.5\nskimmers,0,0.0,,\n"
    )
    counts = {"visitors": 1247, "viewers": 2}
    said = tell(folder, mavera="sandbox", counts=counts, credits={"spent": 1550})
    first, second, *lines = said.splitlines()
    assert first == "Run 2026-07-01 · account: a · 2026-06-01 to 2026-06-30"
    assert second == "visitors: 1,247 · viewers: 2"
    assert lines[:3] == ["New: 284 viewers.", "No share changed.", "20 to call."]
    assert [line.split() for line in lines[3:6]] == [
        ["cluster", "viewers", "share", "%", "avg_videos", "identified", "%"],
        ["bouncers", "2", "100.0", "1.0", "50.0"],
        ["skimmers", "0", "0.0", "-", "-"],
    ]
    assert lines[6:] == ["Credits spent: 1,550 (play credits of the sandbox)", f"Folder: {folder}"]


BILL = {"bill": 1575, "spent": 0}
BUY = "Nothing was bought: max_credits is 0. The bill: 1,575 credits at most. To buy: --max-credits"
RECHARGE = "Warning: auto-recharge is on at Mavera"
FETCHED = "No new sessions since the last run."


@pytest.mark.parametrize(
    ("line", "facts", "others"),
    [
        (FETCHED, {"fetch": {"sessions": {"new": 0}}}, {"fetch": {"sessions": {"new": 2}}}),
        ("No viewers in the window: nothing to cluster", {"counts": {"viewers": 0}}, {}),
        (BUY, {"credits": BILL}, {"credits": BILL, "mavera": "sandbox"}),
        (BUY, {"credits": BILL}, {"credits": BILL, "parameters": {"max_credits": 1575}}),
        (RECHARGE, {"bill": {"auto_recharge": True}}, {"bill": {"auto_recharge": False}}),
        (RECHARGE, {"bill": {"auto_recharge": True}},
         {"bill": {"auto_recharge": True}, "mavera": "sandbox"}),
        ("Warning: media_ids: no session has abc. Check the spelling.",
         {"unmatched": {"media_ids": ["abc"]}}, {"unmatched": {"media_ids": []}}),
        ("Warning: One day is late.", {"warnings": ["One day is late."]}, {}),
    ],
)  # fmt: skip
def test_what_the_reader_has_to_know_is_told_and_only_then(folder, line, facts, others):
    assert line not in tell(folder, **others)
    assert line in tell(folder, **facts)


def test_of_an_answer_the_action_is_told_with_figures_that_are_not_in_the_data(folder):
    closing = "The best: **Fans**.\nThe one action: call 7 of 99."
    line = closing.split("\n")[1]
    figure = {"text": "99", "line": line, "verdict": "not in the data", "start": 0}
    answer = {"status": "answered", "answer": "## Fans\nCurious.", "closing": closing}
    said = tell(folder, mavera="sandbox", answer=answer | {"figures": [figure]})
    action = "  The one action: call 7 of 99 [not in the data]."
    assert f"Mave (simulated by the sandbox):\n{action}\n" in said and "Curious" not in said
    assert "Mave (" not in tell(folder)


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        ("answered", "## Fans\n\n- **Motive:** curious\n\n## Rest\nBored.",
         "Mave (written by AI):\n  Motive: curious\n  Bored.\n"),
        ("answered", "# Only a heading\n\n", "Mave (written by AI):\n  Only a heading\n"),
        ("answered", "\x1b[31m#1 pick\n\nrest", "  [31m#1 pick\n"),
        ("clarifying", "Which market do you mean?",
         "Mave asks (written by AI):\n  Which market do you mean?\n"
         "Mave asked back instead of answering: there is no advice in this run."),
    ],
)  # fmt: skip
def test_the_excerpt_of_mave_says_who_wrote_it_and_is_no_heading(folder, status, text, told):
    assert told in tell(folder, answer={"status": status, "answer": text})
