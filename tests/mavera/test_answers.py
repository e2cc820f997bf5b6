"""Mave's Markdown shown safely, its figures marked, and taken apart by cluster."""

import pytest
from hypothesis import given, strategies as st

from helpers.mavera import answers
from helpers.mavera.answers import Source
from helpers.mavera.claims import FOUND, MISSING, Claim

TITLES = {"binge_watchers": "Binge Watchers", "bouncers": "Bouncers", "b2": "Bouncers, late"}
HOSTILE = """<script>alert(1)</script>
<img src=x onerror=alert(1)>
[x](javascript:alert(1))
![pixel](https://evil.example/p.png)
<a href='data:text/html,x'>x</a>
[x](data:text/html;base64,AA)
<style>*{}</style>
[x](https://a.example "onload=1")
<https://a.example/" onmouseover=alert(1)>
[x](file:///etc/passwd)"""


@pytest.mark.parametrize("text", HOSTILE.splitlines())
def test_nothing_that_runs_or_loads_passes(text):
    html = answers.markdown_html(text)
    for bad in ("<script", "<img", "<style", 'href="javascript', 'href="data', 'href="file'):
        assert bad not in html
    assert " onmouseover=" not in html.replace("&quot;", "") or "<a" not in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[guide](https://a.example/x)", "guide</a> (a.example)"),
        ("[https://app.mavera.io](https://elsewhere.example)", "</a> (elsewhere.example)"),
        ("**[a](http://b.example?x=1)**", "a</a> (b.example)"),
    ],
)
def test_the_host_stands_beside_each_link(text, shown):
    html = answers.markdown_html(text)
    assert shown in html and 'rel="noopener noreferrer nofollow"' in html


def test_what_is_no_address_is_no_link_hidden_signs_go_and_headings_begin_at_four():
    for address in ("https://ann@evil.example/", "/local", "#here"):  # a user before the host
        assert answers.markdown_html(f"[x]({address})").strip() == "<p>x</p>"
    assert answers.markdown_html("a\u202eb\u200bc\x07d\ue000e").strip() == "<p>abcde</p>"
    headings = answers.markdown_html("## A\n\n### B\n\n###### C").split()
    assert headings == ["<h4>A</h4>", "<h5>B</h5>", "<h6>C</h6>"]


def claim(text, line="", verdict=MISSING):
    return Claim(text, line, verdict, 0)


def test_a_figure_that_is_not_in_the_data_is_marked_in_its_line_and_nowhere_else():
    text = "**64** of the 402 Bouncers.\n\n64 Binge Watchers. [64](https://a.example/64)"
    marks = [claim("64", "**64** of the 402 Bouncers."), claim("402", "64 Binge Watchers.", FOUND)]
    html = answers.markdown_html(text, marks)
    assert html.count('<mark class="unsupported" title="not in the data">64</mark>') == 1
    assert html.index("<mark") < html.index("Bouncers") and 'href="https://a.example/64"' in html
    everywhere = answers.markdown_html("99 of 199, and 99 %", [claim("99"), claim("99 %")])
    assert everywhere.count("<mark") == 2 and "199" in everywhere


@given(st.text(max_size=200), st.lists(st.sampled_from(["1", "12", "5 %"]), max_size=3))
def test_no_text_leaves_a_tag_open_or_a_sign_behind(text, figures):
    html = answers.markdown_html(text, [claim(figure) for figure in figures])
    assert html.count("<mark") == html.count("</mark>") and "\ue000" not in html


def test_an_excerpt_is_plain_text_with_its_figures_marked():
    line = "- **402** of them & [go](https://a.example)"
    text = f"## Skimmers\n\n<b>Now</b>\n\n{line}\n\nThird\n\nLast"
    shown = ["Now", "402 [not in the data] of them & go (a.example)", "Third"]
    assert answers.excerpt(text, [claim("402", line)]) == shown


def test_sources_are_http_links_only():
    addresses = ["https://a.example/x", "https://a.example/x", "javascript:alert(1)", None]
    addresses += ["https://user:pass@c.example/", 'https://d.example/"onload="x']
    sources = [{"title": f"Title {n}", "url": url} for n, url in enumerate(addresses)]
    assert answers.links([*sources, {"url": "http://b.example"}, "text", {"title": "None"}]) == [
        Source("Title 1", "https://a.example/x", "a.example"),
        Source("b.example", "http://b.example", "b.example"),
    ]
    assert answers.links(None) == answers.links("text") == []


ASKS = ["Which clusters do you mean?", "Sure. What is your product?", ""]
ASKS += ["## First\n1. Which of 17 industries?\n\nLet me know."]
ADVISES = ["## Binge Watchers\nCall them?", "Call them.", "x" * 2100 + "?"]


def test_an_answer_that_only_asks_is_told_from_advice():
    for text in ASKS + ADVISES:
        pieces = answers.split_answer(text, TITLES)
        assert answers.asks_back(text, pieces) is (text in ASKS), text


def parts(text, points=()):
    """Text by cluster, and what stands under the last heading if it is of no cluster."""
    pieces = answers.split_answer(text, TITLES, points)
    named = {piece.cluster: piece.text for piece in pieces if piece.cluster}
    return named, pieces[-1].text if named and not pieces[-1].cluster else None


def test_an_answer_is_split_by_the_titles_of_the_clusters():
    first = "Call.\n### Outreach\nBy phone."
    text = f"Intro\n\n## Binge Watchers\n{first}\n\n## Bouncers\nWait.\n\n## Closing\nDo it."
    assert parts(text) == ({"binge_watchers": first, "bouncers": "Wait."}, "Do it.")


HEADINGS = """## 1. Binge Watchers
### **Binge watchers** (89 viewers)
# The Binge Watchers: hot
**Binge Watchers**
## binge_watchers
## 🍿 Binge Watchers
## Cluster 1: Binge Watchers"""


@pytest.mark.parametrize("heading", HEADINGS.splitlines())
def test_headings_are_recognised_however_they_are_written(heading):
    assert parts(f"{heading}\nCall.\n")[0] == {"binge_watchers": "Call."}


def test_the_longer_title_wins_and_points_at_the_same_level_stay_inside():
    late, early = "## Persona profile\nTom.", "Wait.\n## Content gaps\nNone."
    text = f"## Bouncers, late\n{late}\n## Bouncers\n{early}\n## End\nBye."
    found = parts(text, ["Persona profile", "Content gaps"])
    assert found == ({"b2": late, "bouncers": early}, "Bye.")


def test_what_is_shown_has_a_text_for_a_terminal():
    table = "<table><tr><th>a</th><td>86</td></tr></table>"
    shown = answers.Shown(f"<p>One &amp; <em>two</em></p>{table}")
    assert repr(shown).split() == ["One", "&", "two", "a", "86"]
