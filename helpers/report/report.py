"""HTML to share: the report of a run, and the index of all runs.

``report.json`` is written first; the page is made from it alone. No page holds a script or asks
anything of the network, and each says so to the browser.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from helpers import plots
from helpers.core.errors import ServiceError
from helpers.core.files import read_json, write_json, write_text
from helpers.core.folders import Manifest, describe_state, given_parameters, newest_first
from helpers.report import data
from helpers.report.pages import TEMPLATES, account_name, headings_in_order

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
QUIETLY = ["--headless", "--no-pdf-header-footer", "--disable-gpu", "--no-first-run"]
QUIETLY += ["--disable-sync", "--disable-background-networking", "--disable-component-update"]
PRINT_SECONDS = 120  # a report takes two seconds on a laptop


def build(folder: Path) -> Path:
    """Write ``report.json``, then ``report.html`` from it.

    Parameters
    ----------
    folder : Path
        A run folder; only its files are read.

    Returns
    -------
    Path of the page.

    Raises
    ------
    DataError
        See :func:`helpers.report.data.gather`.
    """
    write_json(folder / "report.json", data.gather(folder))
    page = folder / "report.html"
    write_text(page, render(read_json(folder / "report.json")))
    return page


def render(facts: dict[str, Any]) -> str:
    """The page of a report.json."""
    titles = {row["cluster"]: row["title"] for row in facts["clusters"]["rows"]}
    words = {"headings": data.SECTIONS, "titles": titles, "looks": plots.looks(titles)}
    template = TEMPLATES.get_template("report.html.j2")
    return headings_in_order(template.render(**facts, sections=facts, **words))


def render_pdf(page: Path) -> Path:
    """Print a report as ``report.pdf`` beside it, by the chromium of this machine.

    Raises
    ------
    ServiceError
        No chromium is installed, or it did not print.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), BROWSERS[0])
    target = page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *QUIETLY, f"--user-data-dir={profile}"]
        if not getattr(os, "geteuid", lambda: 1)():  # chromium's own sandbox refuses root
            command.append("--no-sandbox")
        command += [f"--print-to-pdf={target.resolve()}", page.resolve().as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=PRINT_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            what = f"No chromium of this machine printed {page.name} ({type(error).__name__})."
            remedy = f"Install chromium, or open {page.name} in any browser and print it."
            raise ServiceError(what, remedy=remedy) from None
    return target


def index(outputs: Path) -> Path:
    """Write ``index.html``: all runs from their run.json, by account, newest first.

    Parameters
    ----------
    outputs : Path
        The outputs folder; ``dev`` is no run. Folders in it that are outputs folders of accounts
        of their own are listed too.
    """
    accounts: dict[str, list[dict[str, Any]]] = {}
    for place in (outputs, *sorted(outputs.glob("*/"))):
        for folder, manifest in newest_first(place):
            name = account_name(manifest.account)
            if place != outputs and name != place.name:
                name = f"{place.name} ({name})"
            accounts.setdefault(name, []).append(_run_row(folder, manifest, outputs))
    page = outputs / "index.html"
    write_text(page, TEMPLATES.get_template("index.html.j2").render(accounts=accounts))
    return page


def _run_row(folder: Path, manifest: Manifest, outputs: Path) -> dict[str, Any]:
    stages = manifest.stages.items()
    return {
        **manifest.model_dump(),
        "run": folder.name,
        "place": folder.relative_to(outputs).as_posix(),
        "state": describe_state(manifest, is_held=True),  # read later: it is not asked whether
        "choices": given_parameters(manifest),
        "stopped": [name for name, one in stages if one.get("status") in ("failed", "running")],
        "links": [path.name for path in sorted(folder.glob("0*.html"))],
        "report": (folder / "report.html").is_file(),
    }
