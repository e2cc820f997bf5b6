"""JupyterLab as an analyst sees it: notebooks run, are edited, interrupted, restarted, added to.

The tests wait for states that the page's own application knows (a kernel that is idle, cells that
bear the number of this execution, a saved document), never for a time.
"""

import base64
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from browser import CHROMIUM, FLAGS
from commands import ROOT, bare
from test_house import FIGURES, assert_drawn
from test_recipes import RECIPES

from helpers.core.folders import STAGES

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt install chromium")
]
GIVE_UP = 180_000  # ms: a state that has not come by then does not come


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A copy of the notebooks to work in, and its outputs."""
    made = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "notebooks", made / "notebooks")
    return made


@pytest.fixture(scope="module")
def address(desk):
    """`make lab` on the copy: no browser of its own, no token, nobody's settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (
        f"--no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 "
        f"--IdentityProvider.token= --ServerApp.root_dir={desk} --expose-app-in-browser"
    )
    others = ("JUPYTER", "PYTEST", "MAKE", "MFLAGS")
    own = bare(VIEWER_PERSONAS_OUTPUTS=str(desk / "outputs"), HOME=str(desk))
    own = {name: value for name, value in own.items() if not name.startswith(others)}
    with (desk / "lab.log").open("w") as log:
        server = subprocess.Popen(
            ["make", "-o", ".venv/.ready", "lab", f"PY={sys.executable}", f"LAB={desk}/lab",
             f"ARGS={options}"],
            cwd=ROOT, env=own, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/api", timeout=60).read()
                break
            except OSError:
                assert server.poll() is None, (desk / "lab.log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        end(server)


def end(server: subprocess.Popen) -> None:
    """Stop make and what it started, and wait until all of it is gone."""
    for signs, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signs)
            for _ in range(10 * seconds):
                server.poll()
                os.killpg(server.pid, 0)
                time.sleep(0.1)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def lab(browser, address, desk):
    """JupyterLab's window."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(GIVE_UP)
    yield Window(context.new_page(), address, desk)
    context.close()


PANEL = """(stage => [...(window.jupyterapp?.shell.widgets("main") ?? [])]
    .find(widget => widget.context?.path === `notebooks/${stage}.ipynb`))"""
CODE_CELLS = f"(stage => {PANEL}(stage).content.widgets.filter(c => c.model.type === 'code'))"
IS_IDLE = f"""(stage => {{
    const panel = {PANEL}(stage);
    return panel?.context.isReady && panel.content.widgets.length > 1
        && panel.sessionContext.session?.kernel?.status === "idle";
}})"""
HAVE_RUN = f"""(([stage, from, to, number]) => {IS_IDLE}(stage) && {CODE_CELLS}(stage)
    .slice(from, to).every((cell, at) => cell.model.executionCount === number + at + 1))"""
"""These cells have run, in order, after an execution of this number."""


class Window:
    """A window of JupyterLab: what an analyst does and sees in it."""

    def __init__(self, page, address: str, desk: Path):
        self.page, self.address, self.desk = page, address, desk
        self.book = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")  # others may be open
        self.layout = next((desk / "lab").iterdir())
        self.stage = ""
        self.number: dict[str, int] = {}  # of each notebook's last execution

    def open(self, stage: str) -> None:
        """One notebook as it is committed, in the first layout, with a new kernel."""
        if self.stage:
            self.shut_down()
        self.page.goto("about:blank")
        shutil.copy(ROOT / ".jupyter" / "workspace.json", self.layout)
        shutil.copy(ROOT / "notebooks" / f"{stage}.ipynb", self.desk / "notebooks")
        address = f"/lab/tree/notebooks/{stage}.ipynb" if stage != STAGES[0] else ""
        self.page.goto(self.address + address)
        self._wait_for_kernel(stage)

    def open_beside(self, stage: str) -> None:
        """One more notebook, in front of the one that is open."""
        self.command("docmanager:open", path=f"notebooks/{stage}.ipynb")
        self._wait_for_kernel(stage)

    def follow(self, stage: str) -> None:
        """The next notebook, by the link at the end of this one."""
        self.shut_down()
        self.book.locator(".jp-WindowedPanel-outer").evaluate("e => e.scrollTop = e.scrollHeight")
        self.book.get_by_role("link", name=stage).click()
        self._wait_for_kernel(stage)

    def _wait_for_kernel(self, stage: str) -> None:
        self.stage, self.number[stage] = stage, 0
        self.page.wait_for_function(IS_IDLE, arg=stage)

    def shut_down(self) -> None:
        """End this notebook's kernel."""
        self.page.evaluate(f"stage => {PANEL}(stage).sessionContext.shutdown()", self.stage)

    def command(self, name: str, **options) -> None:
        """What a menu or a shortcut would do."""
        carry_out = "([name, options]) => { window.jupyterapp.commands.execute(name, options) }"
        self.page.evaluate(carry_out, [name, options])

    def menu(self, *names: str) -> None:
        for name in names:
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def cells(self) -> list[dict]:
        """The code cells as they are now, with their outputs."""
        cells = f"stage => {CODE_CELLS}(stage).map(cell => cell.model.toJSON())"
        return self.page.evaluate(cells, self.stage)

    def begin_run_all(self, *, restart: bool = False) -> None:
        """Run all cells, in a new kernel where asked."""
        self.command("notebook:clear-all-cell-outputs")  # and the numbers of earlier executions
        if restart:
            self.number[self.stage] = 0
            self.menu("Kernel", "Restart Kernel and Run All Cells…")
            self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        else:
            self.menu("Run", "Run All Cells")

    def wait_for_cells(self, first: int = 0, end: int | None = None) -> list[dict]:
        """Wait until these cells have run to the end, and save the notebook."""
        cells = self.cells()[first:end]
        given = [self.stage, first, first + len(cells), self.number[self.stage]]
        self.page.wait_for_function(HAVE_RUN, arg=given)
        self.number[self.stage] += len(cells)
        self.page.evaluate(f"stage => {PANEL}(stage).context.save()", self.stage)
        return self.cells()[first:end]

    def run_all(self, *, restart: bool = False) -> list[dict]:
        self.begin_run_all(restart=restart)
        return self.wait_for_cells()

    def run_first(self, count: int) -> None:
        """Run the first cells one by one, as Shift+Enter does."""
        self.book.locator(".jp-WindowedPanel-outer").evaluate("e => e.scrollTop = 0")
        self.book.locator(".jp-MarkdownCell").first.click()
        for _ in range(count):
            self.page.keyboard.press("Shift+Enter")

    def select(self, at: int) -> None:
        """Make a code cell the active one."""
        choose = f"""([stage, at]) => {{
            const book = {PANEL}(stage).content;
            book.activeCellIndex = book.widgets.indexOf({CODE_CELLS}(stage).at(at));
        }}"""
        self.page.evaluate(choose, [self.stage, at])

    def begin_typed(self, code: str) -> None:
        """Type code into a new cell at the end, and run it."""
        self.select(-1)
        self.command("notebook:insert-cell-below")
        self.command("notebook:enter-edit-mode")
        self.page.locator(".jp-mod-editMode .jp-Cell.jp-mod-active .cm-content").wait_for()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Control+Enter")

    def interrupt(self) -> None:
        """Interrupt the kernel; again where Python was in a destructor, which swallows it."""
        from playwright.sync_api import TimeoutError

        for _ in range(5):
            self.command("kernelmenu:interrupt")
            with contextlib.suppress(TimeoutError):
                self.page.wait_for_function(IS_IDLE, arg=self.stage, timeout=5000)
                return

    def type(self, code: str) -> dict:
        """Run code in a new cell at the end; the cell."""
        self.begin_typed(code)
        (cell,) = self.wait_for_cells(len(self.cells()) - 1)
        return cell

    def delete_below(self, count: int) -> None:
        """Delete all code cells but the first."""
        while len(self.cells()) > count:
            self.select(-1)
            self.command("notebook:delete-cell")

    def errors(self):
        """Error outputs on the page."""
        return self.book.locator("[data-mime-type='application/vnd.jupyter.stderr']")

    def edit(self, name: str, line: str) -> None:
        """Write another line in the place of a parameter's."""
        self.book.locator(".jp-WindowedPanel-outer").evaluate("e => e.scrollTop = 0")
        self.book.locator(".cm-line", has_text=f"{name}:").first.click()
        self.page.keyboard.press("Home")
        self.page.keyboard.press("Shift+End")
        self.page.keyboard.insert_text(line)
        self.page.keyboard.press("Escape")


def said(*cells: dict) -> str:
    """All text of the outputs, with single blanks."""
    outputs = [output for cell in cells for output in cell["outputs"]]
    texts = [out.get("text", out.get("data", {}).get("text/plain", "")) for out in outputs]
    return re.sub(" +", " ", "\n".join("".join(text) for text in texts))


def assert_good(cells: list[dict]) -> None:
    outputs = [output for cell in cells for output in cell["outputs"]]
    wrong = [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert not wrong


EDITS = {
    "01_fetch": ("full_sweep", "full_sweep: bool = True", "1,247 visitors"),
    "02_enrich": ("time_zone", 'time_zone: str = "Europe/Berlin"', "sessions that count"),
    "03_cluster": ("min_cell", "min_cell: int = 25", "binge_watchers 86"),
    "04_personas": ("persona_clusters", 'persona_clusters: list = ["skimmers"]', "False"),
    "05_mave_analysis": ("ask_personas", "ask_personas: bool = True", "answered"),
    "06_retention": ("retention_videos", "retention_videos: int = 2", "in 1 of 2 videos"),
}
FOUND = {
    "01_fetch": ["Wistia sandbox", "1,247 visitors in the account, 3,789 sessions of 24 videos"],
    "02_enrich": ["Wistia sandbox", "viewers 1218"],
    "03_cluster": ["Wistia sandbox", "binge_watchers 86 0.071"],
    "04_personas": ["Mavera sandbox", "1575", "bought 300"],
    "05_mave_analysis": ["Mavera sandbox", "answered", "Binge Watchers"],
    "06_retention": ["Wistia sandbox", "of all viewers, for life", "in 5 of 10 videos"],
}


@pytest.fixture(scope="module")
def ran(lab) -> dict[str, tuple[list, list]]:
    """Every notebook, run from top to bottom, and again with a parameter edited: code cells."""
    cells = {}
    lab.open(STAGES[0])
    for stage in STAGES:
        if stage != lab.stage:
            lab.follow(stage)
        first = lab.run_all()
        lab.edit(*EDITS[stage][:2])
        cells[stage] = first, lab.run_all(restart=stage == "04_personas")
    return cells


def test_it_opens_on_the_first_notebook_with_its_kernel_and_contents(lab):
    lab.open(STAGES[0])
    contents = lab.page.locator(".jp-TableOfContents-tree")
    contents.get_by_text("Does any week look wrong?").wait_for()
    assert lab.page.title().startswith("01_fetch")
    lab.page.locator("#jp-main-statusbar", has_text="Python 3 (ipykernel) | Idle").wait_for()
    assert lab.page.locator(".jp-Dialog, .Toastify__toast").count() == 0


@pytest.mark.parametrize("stage", STAGES)
def test_a_notebook_runs_from_top_to_bottom_and_shows_its_figures(ran, stage):
    cells, _ = ran[stage]
    assert_good(cells)
    for words in FOUND[stage]:
        assert words in said(*cells), words
    outputs = [output for cell in cells for output in cell["outputs"]]
    pictures = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= FIGURES.get(stage, 0)
    for picture in pictures:
        assert_drawn(base64.b64decode(picture))


@pytest.mark.parametrize("stage", STAGES)
def test_a_notebook_runs_again_after_a_parameter_was_edited(ran, desk, stage):
    name, line, expected = EDITS[stage]
    _, cells = ran[stage]
    assert line in "".join(cells[0]["source"]).splitlines()
    assert_good(cells)
    assert expected in said(*cells)
    data = desk / "outputs" / "dev" / "data"
    if stage == "04_personas":
        assert "bought" not in said(*cells), "a new kernel bought again"
    if stage == "03_cluster":
        assert pd.read_csv(data / "affinity.csv")["viewers"].min() >= 24  # 25, rounded to twelves


# ---- an analyst's day in notebook 03, after the stages before it have run

SIZES = r"(?m)^(\w+) +(\d+) "  # of a cluster table


@pytest.fixture(scope="module")
def enriched(lab, desk) -> None:
    """Notebooks 01 and 02 have run, by the tests before or now."""
    for stage in STAGES[:2]:
        if not (desk / "outputs" / "dev" / "data" / "features.parquet").is_file():
            lab.open(stage)
            lab.run_all()


@pytest.fixture(scope="module")
def opened(enriched, lab) -> int:
    """Notebook 03 as it is committed, run to the end: how many code cells it has."""
    lab.open("03_cluster")
    cells = lab.run_all()
    assert_good(cells)
    return len(cells)


@pytest.fixture
def clusters(opened, lab) -> Iterator[Window]:
    """Notebook 03; what a test typed below it is deleted in the end."""
    yield lab
    lab.delete_below(opened)


def test_recipes_of_the_documentation_are_typed_below_a_notebook_that_ran(clusters):
    countries, table = (recipe for recipe in RECIPES if "GROUP BY 1 ORDER BY 2 DESC LIMIT 5" in
                        recipe or "viewers_now" in recipe)  # fmt: skip
    assert re.search(r"0 +US +676\b", said(clusters.type(countries)))
    # bouncers up to 40 %: more than the 402 up to 30 %; the first cluster is not touched
    now = dict(re.findall(r"(?m)^(\w+) +\d+ +(\d+)$", said(clusters.type(table))))
    assert (now["binge_watchers"], now["bouncers"]) == ("86", "402")
    (spread,) = [recipe for recipe in RECIPES if ".describe()" in recipe]
    assert re.search(r"(?m)^bouncers +402", said(clusters.type(spread)))


def test_an_interrupt_a_restart_and_a_run_from_the_middle_give_no_wrong_number(clusters, opened):
    clusters.begin_typed("while True:\n    cluster.table(run)")
    clusters.page.wait_for_function(f"stage => !{IS_IDLE}(stage)", arg=clusters.stage)
    clusters.interrupt()
    (stopped,) = clusters.wait_for_cells(len(clusters.cells()) - 1)
    error = stopped["outputs"][-1]  # where the engine was at work it says RuntimeError
    assert "interrupt" in f"{error['ename']} {error['evalue']}".lower()
    assert re.search(r"(?m)^binge_watchers +86 ", said(clusters.type("cluster.table(run)")))
    clusters.delete_below(opened)

    middle = next(n for n, cell in enumerate(clusters.cells()) if "assign(" in said_source(cell))
    clusters.select(middle)
    clusters.command("notebook:run-all-below")
    assert_good(clusters.wait_for_cells(middle))

    clusters.command("kernelmenu:restart")
    clusters.page.get_by_role("button", name="Confirm Kernel Restart").click()
    clusters.number[clusters.stage] = 0
    clusters.page.wait_for_function(IS_IDLE, arg=clusters.stage)
    clusters.select(middle)
    clusters.command("notebook:run-cell")
    (unknown,) = clusters.wait_for_cells(middle, middle + 1)
    assert unknown["outputs"][-1]["evalue"] == "name 'cluster' is not defined"


def said_source(cell: dict) -> str:
    return "".join(cell["source"])


def test_two_notebooks_at_once_show_the_same_numbers_as_one_after_the_other(clusters):
    clusters.begin_run_all()
    clusters.open_beside("02_enrich")
    viewers = clusters.run_all()
    assert_good(viewers)
    assert "viewers 1218" in said(*viewers)
    clusters.shut_down()
    clusters.stage = "03_cluster"
    cells = clusters.wait_for_cells()
    assert_good(cells)
    assert "binge_watchers 86 0.071" in said(*cells)


def test_an_error_is_one_panel_to_read_and_its_traceback_is_in_the_log(lab, desk):
    lab.open("03_cluster")
    lab.edit("min_cell", 'min_cell: int = "ten"')
    lab.run_first(4)
    text = lab.errors().first.inner_text()
    assert lab.errors().count() == 1
    for words in ("ParameterError", "What ", "Where ", "Expected ", "What to do ", "run.log"):
        assert words in text
    assert "Traceback (most recent call last)" not in text and len(text.splitlines()) < 12
    log = (desk / "outputs" / "dev" / "run.log").read_text("utf-8")
    assert "Traceback (most recent call last)" in log and str(desk) not in log
