"""The pages in a browser: nothing runs, nothing is asked for, everybody can read them."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
import report_samples as samples
from browser import CHROMIUM, FLAGS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.core.tables import frame_html
from helpers.mavera import answers
from helpers.report import report
from helpers.report.notebook_page import notebook_html

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on this machine: apt install chromium"
    ),
    pytest.mark.xdist_group("browser"),
]
MODES = {
    "light": ({"width": 1280, "height": 800}, {"color_scheme": "light"}),
    "dark": ({"width": 1280, "height": 800}, {"color_scheme": "dark"}),
    "phone": ({"width": 320, "height": 640}, {"color_scheme": "light"}),
    "print": ({"width": 688, "height": 971}, {"media": "print"}),
}
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


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
    samples.write(made / "north" / "2026-07-01", account="north", status="failed")
    report.index(made)
    output = new_output("display_data", data={"text/html": samples.HOSTILE + "<table></table>"})
    table = frame_html(pd.DataFrame({"cluster": ["bouncers"], "viewers": [402], "share": [0.33]}))
    texts = [table, answers.folded("POST /personas", '{"name": "Bouncers"}')]
    more = [new_output("display_data", data={"text/html": text}) for text in texts]
    cells = [new_markdown_cell("# Who watched?"), new_code_cell("1", outputs=[output, *more])]
    nbformat.write(new_notebook(cells=cells), made / "2026-07-01" / "03_cluster.ipynb")
    notebook_html(made / "2026-07-01" / "03_cluster.ipynb")
    return made


PAGES = {
    "report": "2026-07-01/report.html", "hostile": "2026-07-02/report.html",
    "empty": "2026-07-03/report.html", "index": "index.html",
    "notebook": "2026-07-01/03_cluster.html",
}  # fmt: skip


@pytest.fixture
def opened(browser, outputs):
    """Opens a page in a mode; afterwards nothing may have run, failed or been asked for."""
    context = browser.new_context(offline=True)
    seen: list[str] = []

    def open_page(name: str, mode: str = "light"):
        viewport, media = MODES[mode]
        page = context.new_page()
        page.set_viewport_size(viewport)
        page.emulate_media(**media)
        path = Path(outputs / PAGES[name])
        page.on("console", lambda message: seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog: seen.append("dialog") or dialog.dismiss())
        page.on(
            "request", lambda sent: sent.url == path.as_uri() or seen.append(f"asked: {sent.url}")
        )
        page.goto(path.as_uri())
        return page

    yield open_page
    context.close()
    # the browser tells of each planted handler that the policy stopped; nothing else may be told
    assert [line for line in seen if "Content Security Policy" not in line] == []


@pytest.mark.parametrize("name", PAGES)
def test_no_request_no_error_and_no_planted_payload(opened, name):
    page = opened(name)
    page.wait_for_timeout(200)
    assert page.title()


@pytest.mark.parametrize(
    ("name", "mode"),
    [*(("report", mode) for mode in MODES), ("hostile", "phone"), ("empty", "light"),
     ("index", "light"), ("index", "dark"), ("notebook", "light"), ("notebook", "dark")],
)  # fmt: skip
def test_axe_finds_nothing(opened, name, mode):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(name, mode)
    for details in page.query_selector_all("details"):
        details.evaluate("element => element.open = true")
    rules = {"target-size": {"enabled": True}}
    options = {"runOnly": {"type": "tag", "values": STANDARDS}, "rules": rules}
    found = Axe().run(page, options=options).response["violations"]
    told = [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found]
    assert told == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 640, 1280])
def test_no_page_scrolls_sideways_on_a_phone_or_enlarged(opened, name, width):
    page = opened(name)
    page.set_viewport_size({"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_screen_of_a_phone_holds_news_calls_and_the_action(opened):
    page = opened("report", "phone")
    page.set_viewport_size({"width": 390, "height": 844})
    for words in ("200 viewers, 75", "people to call", "Have sales call every identified"):
        box = page.locator("#answer").get_by_text(words).first.bounding_box()
        assert box["y"] + box["height"] < 844


def test_the_report_is_six_phone_screens_and_1_200_words_of_our_own(opened):
    page = opened("report", "phone")
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("document.querySelectorAll('.ai-text, .folded').forEach(e => e.remove())")
    assert page.evaluate("document.documentElement.scrollHeight") <= 6 * 844
    assert page.evaluate("document.body.innerText.split(/\\s+/).length") <= 1200


def test_no_table_scrolls_sideways_on_a_phone(opened):
    page = opened("report", "phone")
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    wide = """[...document.querySelectorAll('main *')].map(e => [e.outerHTML.slice(0, 80),
              e.getBoundingClientRect().right]).filter(([_, right]) => right > 391)"""
    assert page.evaluate(wide) == []


def test_the_report_can_be_walked_by_keyboard(opened):
    page = opened("report")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.locator("#content summary").first.focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("What a cluster prefers").is_visible()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"


@pytest.mark.parametrize(("paper", "width"), [("A4", 688), ("Letter", 710)])
@pytest.mark.parametrize("name", ["report", "hostile"])
def test_on_paper_no_table_is_cut_and_folded_parts_are_printed(opened, name, paper, width):
    page = opened(name, "print")
    page.set_viewport_size({"width": width, "height": 971})
    cut = page.evaluate(
        """width => [...document.querySelectorAll('table, figure, pre, .card')]
             .filter(e => e.getBoundingClientRect().right > width + 1)
             .map(e => e.outerHTML.slice(0, 120))""",
        width,
    )
    assert cut == []
    assert page.pdf(format=paper, print_background=True).startswith(b"%PDF")
    if name == "report":
        assert page.get_by_role("table", name="Who moved").is_visible()
        assert page.locator(".toc").is_hidden()


def test_a_report_becomes_a_pdf_of_several_pages_that_names_no_path(outputs):
    target = report.render_pdf(outputs / "2026-07-01" / "report.html")
    content = target.read_bytes()
    assert content.startswith(b"%PDF") and str(outputs).encode() not in content
