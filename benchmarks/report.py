"""The report beside its peers: size, seconds, what it asks for, and who can read it.

Run ``python benchmarks/report.py [PYTHON]``; it writes ``benchmarks/report.md``. PYTHON is the
interpreter of another environment that has ydata-profiling, which does not install beside the
kit's own versions; without it that row is left out. A full sandbox run is made first, and all
pages are of its tables. Accessibility needs chromium.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from helpers.report import notebook_page, report

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
OUTSIDE = re.compile(r"""(?:<(?:script|img|iframe)[^>]+src|<link[^>]+href)=["'](?:https?:)?//""")
PROFILE = """
import sys, time, pandas, warnings
warnings.filterwarnings("ignore")
from ydata_profiling import ProfileReport
frame = pandas.read_parquet(sys.argv[1])
began = time.monotonic()
ProfileReport(frame, minimal=True, progress_bar=False).to_file(sys.argv[2], silent=True)
print(time.monotonic() - began)
"""


def best_of(make, times: int = 3) -> float:
    """Seconds of the fastest of several goes; the first warms the imports up."""
    spans = []
    for _ in range(times):
        began = time.monotonic()
        make()
        spans.append(time.monotonic() - began)
    return min(spans)


def plain_nbconvert(path: Path, target: Path) -> None:
    """The notebook as nbconvert makes it by default."""
    html, _ = HTMLExporter().from_notebook_node(nbformat.read(path, as_version=4))
    target.write_text(html, "utf-8")


def profiled(python: str, table: Path, target: Path) -> float | None:
    """Seconds of ydata-profiling's minimal report in an environment of its own."""
    done = subprocess.run(
        [python, "-c", PROFILE, table, target], capture_output=True, text=True, check=False
    )
    return float(done.stdout.split()[-1]) if target.is_file() and done.stdout else None


def violations(page: Path) -> str:
    """axe-core's findings by weight: rules broken, and elements in brackets."""
    chromium = shutil.which("chromium")
    if not chromium:
        return "no browser"
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        view = browser.new_context(offline=True).new_page()
        view.goto(page.resolve().as_uri())
        found = Axe().run(view).response["violations"]
        browser.close()
    rules, places = Counter(), Counter()
    for rule in found:
        rules[rule["impact"]] += 1
        places[rule["impact"]] += len(rule["nodes"])
    order = ("critical", "serious", "moderate", "minor")
    return ", ".join(f"{rules[k]} {k} ({places[k]})" for k in order if rules[k]) or "none"


def row(name: str, page: Path, seconds: float) -> str:
    text = page.read_text("utf-8", errors="replace")
    size, scripts = page.stat().st_size / 1024, len(re.findall(r"<script\b", text))
    policy = "yes" if "Content-Security-Policy" in text else "no"
    return (f"| {name} | {size:,.0f} KB | {seconds:.2f} s | {scripts} | "
            f"{len(OUTSIDE.findall(text))} | {policy} | {violations(page)} |")  # fmt: skip


def main(python: str = "") -> None:
    """Make a run, render its pages in each way, write the table down."""
    outputs = Path(tempfile.mkdtemp(prefix="report-"))
    command = [sys.executable, "-m", "helpers", "run", "--outputs", outputs, "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    folder = next(path.parent for path in outputs.glob("*/report.html"))
    book, plain, profile = folder / "03_cluster.ipynb", outputs / "a.html", outputs / "b.html"
    rows = [
        row("report.html of the kit", folder / "report.html",
            best_of(lambda: report.build(folder))),
        row("03_cluster.html of the kit", book.with_suffix(".html"),
            best_of(lambda: notebook_page.notebook_html(book))),
    ]  # fmt: skip
    seconds = best_of(lambda: plain_nbconvert(book, plain))
    rows.append(row("03_cluster by nbconvert's default", plain, seconds))
    told = "ydata-profiling was not measured: no environment with it was given."
    if python:
        seconds = profiled(python, folder / "data" / "viewers.parquet", profile)
        told = "ydata-profiling did not install or run in the environment given."
        if seconds is not None:
            rows.append(row("viewers.parquet by ydata-profiling, minimal", profile, seconds))
            told = "ydata-profiling ran once, in an environment of its own, imports not counted."
    text = f"""# The report beside its peers

`python benchmarks/report.py [PYTHON]`: pages of one sandbox run of 1,247 visitors, made on one
machine one after the other. Seconds are the best of three with everything imported. Scripts are
elements in the page; outside are scripts, styles, images and frames it asks the network for;
policy is a Content-Security-Policy. Findings are axe-core's default rules on a light desktop page:
rules broken, and elements in brackets.

| page | size | seconds | scripts | outside | policy | accessibility findings |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

{told}
"""
    (Path(__file__).parent / "report.md").write_text(text, "utf-8")
    shutil.rmtree(outputs)
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
