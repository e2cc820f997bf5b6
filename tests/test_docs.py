"""The documentation says what is so: commands work, messages exist, links and tables agree."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import papermill.cli
import pytest
import report_samples as samples
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from helpers import __main__ as command
from helpers.batch import accounts, kernels, plan, runner, summary
from helpers.core import errors, folders
from helpers.core.parameters import Parameters
from helpers.core.settings import Settings
from helpers.mavera.bill import KINDS
from helpers.sandbox import server
from helpers.store import rules

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}
TROUBLE = TEXTS["docs/troubleshooting.md"]


def blocks(language: str) -> list[tuple[str, str]]:
    """Fenced blocks of a language: (page, text)."""
    fence = re.compile(rf"^ *```{language}\n(.*?)^ *```", re.M | re.S)
    return [(page, text) for page, whole in TEXTS.items() for text in fence.findall(whole)]


def commands() -> list[str]:
    """Every shell command once."""
    lines = [line.strip() for _, text in blocks("sh") for line in text.splitlines()]
    return sorted({line for line in lines if line and not re.match(r"[A-Z_]+=", line)})


@pytest.fixture
def folder(tmp_path, monkeypatch, bare_environment) -> Path:
    """A project folder with one run, as the pages speak of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("helpers", "notebooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".env").touch()
    shutil.copy(ROOT / "helpers" / "clusters.yml", tmp_path / "my-clusters.yml")
    (nightly,) = (text for _, text in blocks("yaml") if "min_cell" in text)
    (tmp_path / "nightly.yml").write_text(nightly, "utf-8")
    (several,) = (text for _, text in blocks("yaml") if "accounts:" in text)
    (tmp_path / "accounts.yml").write_text(several, "utf-8")
    for name in ("north.env", "south.env"):
        (tmp_path / name).touch()
    (tmp_path / "south.yml").write_text(nightly, "utf-8")
    run = samples.write(bare_environment / "2026-07-01", told=True)
    (tmp_path / "views.csv").write_text("visitor_key,media_id,received_at,percent_viewed\n")
    (run / "report.html").touch()
    folders.record(run, account="sandbox", stages={"05_mave_analysis": {"status": "failed"}})
    store = bare_environment / "store" / "sandbox"
    store.mkdir(parents=True)
    entry = {"entry": "persona-0003-a1b2c3", "kind": "persona", "state": "pending",
             "name": "Bouncers", "price": 300, "date": "2026-07-01T00:00:00+00:00"}  # fmt: skip
    (store / "ledger-0123abcd.jsonl").write_text(json.dumps(entry) + "\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize("line", commands())
def test_a_command_works_as_it_stands(folder, monkeypatch, line):
    first, *words = shlex.split(line)
    program = Path(first).name
    if program == "viewer-personas":
        assert first == ".venv/bin/viewer-personas", "the pages give it with its place"
        _ours(monkeypatch, words)
    elif program == "make":
        assert re.search(rf"^{re.escape(words[0])}:.*## ", (ROOT / "Makefile").read_text(), re.M)
        subprocess.run(["make", "-n", "-o", ".venv/.ready", *words], cwd=ROOT, check=True,
                       capture_output=True)  # fmt: skip
    elif program == "papermill":
        given = papermill.cli.papermill.make_context("papermill", words).params
        takes = kernels.parameters_of(folder / given["notebook_path"])
        assert {name for name, _ in given["parameters_raw"]} <= set(takes)
    elif program in ("python", "pip"):
        pass  # set-up, seen by whoever runs these tests
    elif program == "python3":
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
    elif program in ("cp", "chmod"):
        subprocess.run(line, shell=True, check=True, capture_output=True)
    else:
        assert line.startswith(("git clone <address", "pip install pre-commit"))


def _ours(monkeypatch, words: list[str]) -> None:
    """Give one of our commands; a run is checked and planned, and a server not started."""

    monkeypatch.setattr(runner, "run", plan.plan)
    monkeypatch.setattr(summary, "tell", lambda text, folder: [])
    monkeypatch.setattr(accounts, "run", lambda path, given, **_: accounts.read(path, given) and 0)
    monkeypatch.setattr(command.click, "confirm", lambda *_, **__: True)
    monkeypatch.setattr(kernels, "check_kernel", lambda: "it answers")
    monkeypatch.setattr("helpers.sandbox.main", lambda words: not server._options(words))
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 0


def test_commands_in_a_sentence_are_real_too():
    told = {word for text in TEXTS.values() for word in re.findall(r"`viewer-personas (\w+)", text)}
    told |= {word for text in TEXTS.values() for word in re.findall(r"`make (\w+)", text)}
    made = set(re.findall(r"^(\w+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    assert told <= made | set(command.cli.commands)


def test_python_and_yaml_of_the_pages_can_be_read():
    for page, text in blocks("python"):
        compile(text, page, "exec")
    for page, text in blocks("yaml"):
        if "accounts:" in text:
            continue  # the fixture's, for the commands that take it
        if "clusters:" in text:
            assert rules.parse(text, source=page).names[-1] in ("others", "everybody_else")
        else:
            given = YAML(typ="base", pure=True).load(text)
            assert Parameters.check(given)


def slug(heading: str) -> str:
    """Anchor that a web page of the repository gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.M)
            assert anchor in map(slug, headings), target


def test_every_page_is_listed_in_the_index_and_the_readme():
    for path in (ROOT / "docs").glob("*.md"):
        if path.name != "README.md":
            assert f"]({path.name})" in TEXTS["docs/README.md"]
            assert f"](docs/{path.name})" in TEXTS["README.md"]


def test_troubleshooting_has_a_heading_for_each_kind_of_error():
    told = dict(re.findall(r"^## (\w+)[^(\n]*\(status (\d)\)", TROUBLE, re.M))
    kinds = {name: str(kind.exit_status) for name, kind in errors.BY_NAME.items()}
    assert told == {name: status for name, status in kinds.items() if name != "UnknownOutcome"}


def test_exit_statuses_are_told_as_they_are():
    told = re.findall(r"^\| (\d) \|", TEXTS["docs/scheduling.md"], re.M)
    assert told == [str(number) for number in range(8)]
    assert {kind.exit_status for kind in errors.BY_NAME.values()} == set(range(1, 8))


def test_parameters_in_tables_have_the_notebooks_defaults():
    known = {}
    for path in sorted((ROOT / "notebooks").glob("0*.ipynb")):
        known |= kernels.parameters_of(path)
    shown = {k: json.dumps(v) if isinstance(v, str) else f"{v}" for k, v in known.items()}
    for page, text in TEXTS.items():
        told = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", text, re.M))
        for name, default in told.items():
            assert shown[name] == default, f"{page}: {name}"
        assert page != "README.md" or told.keys() == shown.keys(), "it tells every parameter"


def test_settings_that_are_named_exist():
    known = {"WISTIA_API_TOKEN", "MAVERA_API_KEY", "WISTIA_BASE_URL", "MAVERA_BASE_URL"}
    known |= {f"VIEWER_PERSONAS_{name.upper()}" for name in Settings.model_fields}
    for page, text in TEXTS.items():
        named = re.findall(r"\b(?:VIEWER_PERSONAS|WISTIA|MAVERA)_[A-Z_]+[A-Z]", text)
        assert set(named) <= known, page


def test_prices_are_those_the_kit_reckons_with():
    told = TEXTS["docs/credits.md"]
    assert f"| a persona | {KINDS['persona'].price} |" in told
    assert f"| Mave's analysis | at most {KINDS['mave'].price} |" in told
    assert f"at most {KINDS['reply'].price} each" in told
    most = 5 * KINDS["persona"].price + KINDS["mave"].price
    assert f"at most {most:,}" in told and f"--max-credits {most}" in TEXTS["README.md"]


def test_the_architecture_is_as_drawn():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    told = TEXTS["docs/architecture.md"]
    listed = re.findall(r"^\| ([\w., -]+) \| \D", told.partition("## Why each")[2], re.M)
    named = {name for row in listed for name in row.split(", ")} - {"library", "---"}
    assert named == {Requirement(text).name for text in project["project"]["dependencies"]}
    picture = ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()
    assert picture.find("{*}title").text and picture.find("{*}desc").text
