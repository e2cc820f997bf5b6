"""Notebooks as pages: readable, folded, and safe whatever a cell put out."""

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.core.tables import frame_html
from helpers.report.notebook_page import _Page, notebook_html

BAD = "<h1>hi</h1><img src=x onerror=alert(1)><script>alert(2)</script><style>p{}</style>"
PIXEL = "iVBORw0KGgo=\n"


def shown(kind: str, value, **metadata):
    return new_output("display_data", data={kind: value}, metadata={kind: metadata})


@pytest.fixture
def page(tmp_path):
    outputs = [
        shown("image/png", PIXEL, alt='Bouncers lead: "33 %"'),
        shown("image/png", PIXEL),
        shown("text/html", pd.DataFrame({"viewers": [412]}, index=["bouncers"]).to_html()),
        shown("text/html", BAD),
        shown("text/markdown", BAD),
        shown("application/javascript", "alert(3)"),
        shown("image/svg+xml", "<svg><script>alert(4)</script></svg>"),
        new_output("stream", name="stdout", text="<script>alert(5)</script>"),
        new_output("error", ename="E", evalue="", traceback=["\x1b[31mE: <script>\x1b[0m"]),
    ]
    cells = [
        new_markdown_cell("# Who *watched*?\n\n[x](javascript:alert(1)) <b>raw</b>\n\n# Again"),
        new_code_cell("viewers = 1  # a comment", execution_count=1, outputs=outputs),
    ]
    path = tmp_path / "2026-07-01" / "02_enrich.ipynb"
    path.parent.mkdir()
    nbformat.write(new_notebook(cells=cells), path)
    assert notebook_html(path) == path.with_suffix(".html")
    return BeautifulSoup(path.with_suffix(".html").read_text("utf-8"), "html.parser")


def test_the_page_has_language_title_one_h1_a_way_past_the_top_and_folded_code(page):
    assert page.html["lang"] == "en"
    assert page.title.get_text() == "Who watched? (02_enrich, run 2026-07-01)"
    assert [h1.get_text() for h1 in page.find_all("h1")] == ["Who watched?"]
    assert page.find("a", class_="skip")["href"] == "#main"
    assert page.details.summary.get_text() == "Code of cell 1"
    assert "viewers = 1  # a comment" in page.details.get_text()


def test_nothing_runs_and_nothing_is_asked_for(page):
    assert not page.find_all(["script", "iframe", "link", "svg"])
    assert len(page.find_all("style")) == 1
    assert all(img["src"].startswith("data:image/png;base64,") for img in page.find_all("img"))
    assert not [e for e in page.find_all(True) if any(name.startswith("on") for name in e.attrs)]
    assert not [a for a in page.find_all("a") if "javascript" in a.get("href", "")]
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")
    assert "<script>alert(5)</script>" in page.get_text()  # a stream is text, and so is an error
    assert page.find("pre", class_="error").get_text() == "E: <script>"


def test_a_figure_keeps_its_alt_text_and_the_size_it_is_meant_for(page):
    alts = [img["alt"] for img in page.find_all("img")]
    assert alts == ['Bouncers lead: "33 %"', "Figure without a description"]
    output = shown("image/png", PIXEL, alt="a", width=880, height=286)
    image = BeautifulSoup(_Page().output(output), "html.parser").img
    assert (image["width"], image["height"]) == ("880", "286")
    assert "width" not in _Page().output(shown("image/png", PIXEL, width='1" onload="x'))


def test_a_table_of_pandas_gets_scopes_and_an_empty_corner_is_no_heading(page):
    cells = [(cell.name, cell.get("scope")) for cell in page.table.find_all(["th", "td"])]
    assert cells == [("td", None), ("th", "col"), ("th", "row"), ("td", None)]
    assert page.table.parent["tabindex"] == "0"


def test_a_table_of_ours_keeps_its_scopes_and_sides_and_has_the_name_of_its_section():
    page = _Page()
    page.markdown('## Who is "there"?')
    frame = pd.DataFrame({"code": ["5"], "viewers": [1247]})
    made = BeautifulSoup(page._html(frame_html(frame)), "html.parser")
    scopes = [cell.get("scope") for cell in made.find_all(["th", "td"])]
    assert scopes == ["col", "col", "row", None]
    assert [cell.get_text() for cell in made.find_all(class_="n")] == ["viewers", "1,247"]
    assert made.div["aria-label"] == 'Table 1: Who is "there"?'
    assert not made.find_all(style=True)
    assert 'class="skip n"' not in page._html('<table><td class="skip n">1</td></table>')


def test_a_notebook_without_a_title_has_the_files_and_links_to_others_lead_to_their_pages(tmp_path):
    path = tmp_path / "03_cluster.ipynb"
    links = new_markdown_cell("[next](04_personas.ipynb) [other](https://example.org/a.ipynb)")
    nbformat.write(new_notebook(cells=[links]), path)
    page = BeautifulSoup(notebook_html(path).read_text("utf-8"), "html.parser")
    assert page.h1.get_text() == "03_cluster"
    links = [link["href"] for link in page.main("a")]
    assert links == ["04_personas.html", "https://example.org/a.ipynb"]
