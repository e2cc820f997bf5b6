"""The pages in a browser: nothing runs, nothing is asked for, everybody can read them."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
import report_samples as samples
from browser import CHROMIUM, FLAGS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.core.tables import frame_html
from helpers.report import report
from helpers.report.notebook_page import notebook_html

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt install chromium")
MODES = {
    "light": (1280, 800, {"color_scheme": "light"}),
    "dark": (1280, 800, {"color_scheme": "dark"}),
    "phone": (390, 844, {"color_scheme": "light"}),
    "print": (688, 971, {"media": "print"}),
}
PAGES = {
    "report": "2026-07-01/report.html",
    "hostile": "2026-07-02/report.html",
    "empty": "2026-07-03/report.html",
    "index": "index.html",
    "notebook": "2026-07-01/03_cluster.html",
}
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPEN_ALL = "document.querySelectorAll('details').forEach(e => e.open = true)"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A run like any, one with planted payloads, one without viewers, a failed one, the index."""
    made = tmp_path_factory.mktemp("outputs")
    for name, options in {
        "2026-07-01": {},
        "2026-07-02": {"hostile": True},
        "2026-07-03": {"empty": True},
        "2026-07-04": {"status": "failed", "error": {"message": samples.HOSTILE}},
    }.items():
        report.build(samples.write(made / name, **options))
    report.index(made)
    table = frame_html(pd.DataFrame({"cluster": ["bouncers"], "viewers": [402], "share": [0.33]}))
    texts = [samples.HOSTILE + "<table></table>", table]
    shown = [new_output("display_data", data={"text/html": text}) for text in texts]
    cells = [new_markdown_cell("# Who watched?"), new_code_cell("1", outputs=shown)]
    book = made / "2026-07-01" / "03_cluster.ipynb"
    nbformat.write(new_notebook(cells=cells), book)
    notebook_html(book)
    return made


@pytest.fixture
def opened(browser, outputs):
    """Opens a page in a mode; afterwards nothing may have run, failed or been asked for."""
    context = browser.new_context(offline=True)
    seen: list[str] = []

    def open_page(name: str, mode: str = "light"):
        width, height, media = MODES[mode]
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(**media)
        address = Path(outputs / PAGES[name]).as_uri()
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog: seen.append("dialog") or dialog.dismiss())
        page.on("request", lambda sent: sent.url == address or seen.append(f"asked: {sent.url}"))
        page.goto(address)
        return page

    yield open_page
    context.close()
    # the browser tells of each planted handler that the policy stopped; nothing else may be told
    assert [line for line in seen if "Content Security Policy" not in line] == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_planted_runs_and_no_page_scrolls_sideways(opened, name):
    page = opened(name)
    page.wait_for_timeout(200)
    page.evaluate(OPEN_ALL)
    for width in (320, 390, 640, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("name", "mode"),
    [*(("report", mode) for mode in MODES), ("hostile", "phone"), ("empty", "light")]
    + [(name, mode) for name in ("index", "notebook") for mode in ("light", "dark")],
)
def test_axe_finds_nothing(opened, name, mode):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(name, mode)
    page.evaluate(OPEN_ALL)
    rules = {"target-size": {"enabled": True}}
    options = {"runOnly": {"type": "tag", "values": STANDARDS}, "rules": rules}
    violations = Axe().run(page, options=options).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in violations] == []


def test_the_first_screen_of_a_phone_holds_news_calls_and_the_action(opened):
    page = opened("report", "phone")
    for words in ("200 viewers, 75", "people to call", "Have sales call every identified"):
        box = page.locator("#answer").get_by_text(words).first.bounding_box()
        assert box["y"] + box["height"] < 844


def test_a_report_is_six_phone_screens_no_table_scrolls_and_1_200_words_are_our_own(opened):
    page = opened("report", "phone")
    assert page.evaluate("document.documentElement.scrollHeight") <= 6 * 844
    page.evaluate(OPEN_ALL)
    wide = """[...document.querySelectorAll('main *')].map(e => [e.outerHTML.slice(0, 80),
              e.getBoundingClientRect().right]).filter(([_, right]) => right > 391)"""
    assert page.evaluate(wide) == []
    page = opened("report", "phone")
    page.evaluate("document.querySelectorAll('.ai-text').forEach(e => e.remove())")
    assert page.evaluate("document.body.innerText.split(/\\s+/).length") <= 1200


def test_the_report_can_be_walked_by_keyboard(opened):
    page = opened("report")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    page.wait_for_url("**/report.html#main")
    page.locator("#content summary").first.focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("What a cluster prefers").is_visible()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.parametrize("name", ["report", "hostile"])
def test_on_paper_sections_are_open_but_not_the_tables_behind_a_line(opened, name):
    page = opened(name, "print")
    assert page.get_by_role("table", name="What a cluster prefers").is_visible()
    assert page.get_by_text("200 joined, 40 left; 10 moved.").first.is_visible()
    assert page.get_by_role("table", name="Who moved").is_hidden()
    assert page.locator(".toc").is_hidden()
    cut = """[...document.querySelectorAll('table, figure, pre, .card')]
             .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
             .map(e => e.outerHTML.slice(0, 120))"""
    for width in (688, 710):  # A4, Letter
        page.set_viewport_size({"width": width, "height": 971})
        assert page.evaluate(cut) == []


def test_a_report_becomes_a_pdf_that_names_no_path(outputs):
    content = report.render_pdf(outputs / "2026-07-01" / "report.html").read_bytes()
    assert content.startswith(b"%PDF") and str(outputs).encode() not in content
