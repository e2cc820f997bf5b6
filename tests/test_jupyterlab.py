"""JupyterLab as an analyst sees it: every notebook runs, also after a parameter was edited."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from browser import CHROMIUM, FLAGS
from test_house import FIGURES, assert_drawn

from helpers.run import STAGES, read_manifest, record

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on this machine: apt install chromium"
    ),
    pytest.mark.xdist_group("kernels"),
]
WAIT = 90_000  # ms: cells may be slow where cores are shared


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
        f"--IdentityProvider.token= --ServerApp.root_dir={desk}"
    )
    kept = ("VIEWER_PERSONAS_", "WISTIA_", "MAVERA_", "JUPYTER", "PYTEST", "MAKE", "MFLAGS")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(kept)}
    outputs = {"VIEWER_PERSONAS_OUTPUTS": str(desk / "outputs")}
    with (desk / "lab.log").open("w") as log:
        server = subprocess.Popen(
            ["make", "-o", ".venv/.ready", "lab", f"PY={sys.executable}", f"LAB={desk}/lab",
             f"ARGS={options}"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**bare, **outputs, "VIEWER_PERSONAS_ENV_FILE": os.devnull, "HOME": str(desk)},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(900):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=5).read()
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
    context.set_default_timeout(WAIT)
    yield Window(context.new_page(), address, desk)
    context.close()


class Window:
    """A window of JupyterLab: what an analyst does and sees in it."""

    def __init__(self, page, address: str, desk: Path):
        self.page, self.address, self.desk = page, address, desk
        self.book = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")  # others may be open
        self.layout = next((desk / "lab").iterdir())
        self.stage = ""

    def open(self, stage: str) -> None:
        """One notebook in the first layout, its kernel ready."""
        if self.stage:
            self._menu("Kernel", "Shut Down Kernel")
            self.status("No Kernel")
        self.page.goto("about:blank")
        shutil.copy(ROOT / ".jupyter" / "workspace.json", self.layout)
        self.stage = stage
        address = f"/lab/tree/notebooks/{stage}.ipynb" if stage != STAGES[0] else ""
        self.page.goto(self.address + address)
        self.book.locator(".jp-Cell").first.wait_for()
        self.status("Python 3 (ipykernel) | Idle")

    def follow(self, stage: str) -> None:
        """The next notebook, by the link at the end of this one."""
        self._menu("Kernel", "Shut Down Kernel")
        self.status("No Kernel")
        self.book.locator(".jp-WindowedPanel-outer").evaluate("e => e.scrollTop = e.scrollHeight")
        self.book.get_by_role("link", name=stage).click()
        self.page.locator("#jp-main-dock-panel .lm-mod-current", has_text=stage).wait_for()
        self.stage = stage
        self.book.locator(".jp-Cell").first.wait_for()
        self.status("Python 3 (ipykernel) | Idle")

    def status(self, text: str) -> None:
        """Wait until the status bar says something."""
        self.page.locator("#jp-main-statusbar", has_text=text).wait_for()

    def _menu(self, *names: str) -> None:
        for name in names:
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def run_all(self, *, restart: bool = False) -> list:
        """Run all cells, in a fresh kernel where asked, and save; the code cells."""
        dev = self.desk / "outputs" / "dev"
        if dev.is_dir():
            record(dev, stages={self.stage: {"status": "not yet"}})
        if restart:
            self._menu("Kernel", "Restart Kernel and Run All Cells…")
            self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        else:
            self._menu("Run", "Run All Cells")
        for _ in range(WAIT // 250):
            self.page.wait_for_timeout(250)
            known = read_manifest(dev).stages.get(self.stage, {})
            if known.get("status") == "done":
                break
        self.status("| Idle")
        path = self.desk / "notebooks" / f"{self.stage}.ipynb"
        for _ in range(20):  # the page hears of the last cells a little after the kernel is idle
            self.page.keyboard.press("Control+s")
            self.status("Saving completed")
            cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
            if all(cell.execution_count for cell in cells):
                break
            self.page.wait_for_timeout(500)
        return cells

    def run_first(self, count: int) -> None:
        """Run the first cells one by one, as Shift+Enter does."""
        self.book.locator(".jp-WindowedPanel-outer").evaluate("e => e.scrollTop = 0")
        self.book.locator(".jp-MarkdownCell").first.click()
        for _ in range(count):
            self.page.keyboard.press("Shift+Enter")

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


EDITS = {
    "01_fetch": ("full_sweep", "full_sweep: bool = True", "1,247 visitors"),
    "02_enrich": ("time_zone", 'time_zone: str = "Europe/Berlin"', "sessions that count"),
    "03_cluster": ("min_cell", "min_cell: int = 25", "binge_watchers          86"),
    "04_personas": ("min_cell", "min_cell: int = 100", "north_star"),
    "05_mave_analysis": ("ask_personas", "ask_personas: bool = True", "answered"),
}


@pytest.fixture(scope="module")
def ran(lab) -> dict[str, tuple[list, list]]:
    """Every notebook, run from top to bottom, and again with a parameter edited: code cells."""
    cells = {}
    lab.open(STAGES[0])
    for stage in STAGES[:5]:
        if stage != lab.stage:
            lab.follow(stage)
        first = lab.run_all()
        lab.edit(*EDITS[stage][:2])
        cells[stage] = first, lab.run_all(restart=stage == "04_personas")
    return cells


def said(cells: list) -> str:
    """All text of the outputs."""
    outputs = [output for cell in cells for output in cell.outputs]
    texts = [out.get("text", out.get("data", {}).get("text/plain", "")) for out in outputs]
    return "\n".join(texts)


def assert_good(cells: list) -> None:
    assert all(cell.execution_count for cell in cells)
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]


def test_it_opens_on_the_first_notebook_with_its_kernel_and_contents(lab):
    lab.open(STAGES[0])
    contents = lab.page.locator(".jp-TableOfContents-tree")
    contents.get_by_text("Does any week look wrong?").wait_for()
    assert lab.page.title().startswith("01_fetch")
    assert lab.page.get_by_text("Python 3 (ipykernel)").first.is_visible()
    assert lab.page.locator(".jp-Dialog, .Toastify__toast").count() == 0


FOUND = {
    "01_fetch": ["Wistia sandbox", "1,247 visitors in the account, 3,789 sessions of 24 videos"],
    "02_enrich": ["Wistia sandbox", "viewers                                     1218"],
    "03_cluster": ["Wistia sandbox", "binge_watchers          86  0.071"],
    "04_personas": ["Mavera sandbox", "1575", "bought      300"],
    "05_mave_analysis": ["Mavera sandbox", "answered", "Binge Watchers"],
}


@pytest.mark.parametrize("stage", FOUND)
def test_a_notebook_runs_from_top_to_bottom_and_shows_its_figures(ran, stage):
    cells, _ = ran[stage]
    assert_good(cells)
    for words in FOUND[stage]:
        assert words in said(cells), words
    outputs = [output for cell in cells for output in cell.outputs]
    pictures = [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= FIGURES.get(stage, 0)
    for picture in pictures:
        assert_drawn(base64.b64decode(picture))


@pytest.mark.parametrize("stage", FOUND)
def test_a_notebook_runs_again_after_a_parameter_was_edited(ran, desk, stage):
    name, line, expected = EDITS[stage]
    _, cells = ran[stage]
    assert line in cells[0].source.splitlines()
    assert_good(cells)
    assert expected in said(cells)
    data = desk / "outputs" / "dev" / "data"
    if stage == "04_personas":
        assert "bought" not in said(cells), "a new kernel bought again"
    if stage == "03_cluster":
        assert pd.read_csv(data / "affinity.csv")["viewers"].min() >= 24  # 25, rounded to twelves


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
