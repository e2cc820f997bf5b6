"""Mave's Markdown shown safely, its figures marked, and taken apart by cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.mavera import answers

TITLES = {"binge_watchers": "Binge Watchers", "bouncers": "Bouncers", "b2": "Bouncers, late"}


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
        "![pixel](https://evil.example/p.png)", "<a href='data:text/html,x'>x</a>",
        "[x](data:text/html;base64,AA)", "<style>*{}</style>", '[x](https://a.example "onload=1")',
        "<https://a.example/\" onmouseover=alert(1)>", "[x](file:///etc/passwd)",
    ],
)  # fmt: skip
def test_nothing_that_runs_or_loads_passes(text):
    html = answers.markdown_html(text)
    for bad in ("<script", "<img", "<style", 'href="javascript', 'href="data', 'href="file'):
        assert bad not in html
    assert " onmouseover=" not in html.replace("&quot;", "") or "<a" not in html


def test_links_open_nothing_by_themselves_and_keep_their_address():
    html = answers.markdown_html("[guide](https://a.example/x)")
    assert 'href="https://a.example/x"' in html and 'rel="noopener noreferrer nofollow"' in html


def test_headings_begin_at_the_level_asked_for_and_keep_their_order():
    html = answers.markdown_html("## One\n\n### Two\n\n###### Six", top=3)
    assert "<h3>One</h3>" in html and "<h4>Two</h4>" in html and "<h6>Six</h6>" in html


def test_tables_and_lists_are_kept():
    html = answers.markdown_html("| a | b |\n|---|---|\n| 1 | 2 |\n\n- x")
    assert "<td>2</td>" in html and "<li>x</li>" in html


def test_unsupported_figures_are_marked_where_they_stand_as_figures():
    text = "**99 viewers** watched within 99 hours; 199 did not. [99](https://a.example/99)"
    html = answers.markdown_html(text, ["99"])
    marked = '<mark class="unsupported" title="not in the data that was sent">99</mark>'
    assert html.count(marked) == 2 and "99 hours" in html and "199 did not" in html
    assert 'href="https://a.example/99"' in html


@given(st.text(max_size=200), st.lists(st.sampled_from(["1", "12", "5 %"]), max_size=3))
def test_no_text_leaves_a_tag_open_or_a_sign_behind(text, figures):
    html = answers.markdown_html(text, figures)
    assert html.count("<mark") == html.count("</mark>") and "\ue000" not in html


def test_sources_are_http_links_only():
    sources = [
        {"title": "Good", "url": "https://a.example/x"}, {"title": "Twice", "url": "https://a.example/x"},
        {"title": "Bad", "url": "javascript:alert(1)"}, {"url": "http://b.example"}, {"url": None},
        {"title": "User", "url": "https://user:pass@c.example/"}, "text", {"title": "None"},
        {"title": "Quote", "url": 'https://d.example/"onload="x'},
    ]  # fmt: skip
    assert answers.links(sources) == [
        {"title": "Twice", "url": "https://a.example/x"},
        {"title": "b.example", "url": "http://b.example"},
    ]
    assert answers.links(None) == []


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Which clusters do you mean?", True), ("Sure. What is your product?\n", True),
        ("## Binge Watchers\nCall them?", False), ("Call them.", False), ("x" * 900 + "?", False),
        ("**Bouncers**\nWhy?", False),
    ],
)  # fmt: skip
def test_a_clarifying_question_is_short_and_ends_with_a_question_mark(text, asks):
    assert answers.is_clarifying(text) is asks


def test_an_answer_is_split_by_the_titles_of_the_clusters():
    text = (
        "Intro\n\n## Binge Watchers\nCall.\n### Outreach\nBy phone.\n\n"
        "## Bouncers\nWait.\n\n## Closing\nDo it."
    )
    parts, closing = answers.sections(text, TITLES)
    assert parts == {"binge_watchers": "Call.\n### Outreach\nBy phone.", "bouncers": "Wait."}
    assert closing == "Do it."


@pytest.mark.parametrize(
    "heading",
    ["## 1. Binge Watchers", "### **Binge watchers** (89 viewers)", "# The Binge Watchers: hot",
     "**Binge Watchers**", "## binge_watchers", "## 🍿 Binge Watchers",
     "## Cluster 1: Binge Watchers"],
)  # fmt: skip
def test_headings_are_recognised_however_they_are_written(heading):
    parts, _ = answers.sections(f"{heading}\nCall.\n", TITLES)
    assert parts == {"binge_watchers": "Call."}


def test_the_longer_title_wins_and_points_at_the_same_level_stay_inside():
    text = (
        "## Bouncers, late\n## Persona profile\nTom.\n## Bouncers\nWait.\n"
        "## Content gaps\nNone.\n## End\nBye."
    )
    parts, closing = answers.sections(text, TITLES, ["Persona profile", "Content gaps"])
    assert parts == {"b2": "## Persona profile\nTom.", "bouncers": "Wait.\n## Content gaps\nNone."}
    assert closing == "Bye."


def test_an_answer_without_sections_has_no_parts():
    assert answers.sections("Just call them.", TITLES) == ({}, None)


def test_what_is_shown_has_a_text_for_a_terminal():
    assert (
        repr(answers.Shown("<p>One &amp; <em>two</em></p><p>three</p>")) == "One &amp; two\nthree"
    )


def test_a_text_with_data_shows_its_words_and_folds_the_data_away():
    text = answers.Text('Use <these>:\n\n```json\n{"viewers": 86}\n```\nThank you')
    html = text._repr_html_()
    assert "&lt;these&gt;" in html and html.count("<details>") == 1
    assert "<summary>The data that go with it, 15 characters of JSON</summary>" in html
    assert html.endswith("Thank you</pre>")
    assert answers.Text("Only words")._repr_html_().count("<pre") == 1


def test_the_cells_of_a_table_stay_apart_where_html_cannot_be_shown():
    shown = answers.Shown("<table><tr><th>viewers</th><td>86</td></tr></table>")
    assert repr(shown).split() == ["viewers", "86"]
