"""The house stands as drawn: layers, one list of dependencies, notebooks with sandbox outputs."""

import base64
import io
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from ruamel.yaml import YAML

from helpers.batch import kernels
from helpers.core import parameters
from helpers.core.folders import STAGES

ROOT = Path(__file__).resolve().parent.parent
BOOKS = [ROOT / "notebooks" / f"{stage}.ipynb" for stage in STAGES]
CONDA_NAMES = {"duckdb": "python-duckdb", "matplotlib": "matplotlib-base"}
"""Names on conda-forge that differ from those on PyPI."""
FIGURES = {"01_fetch": 1, "02_enrich": 2, "03_cluster": 3}
"""The least number of figures that a notebook's story needs."""


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_imports_go_down_only_and_in_no_circle():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_conda_file_names_the_same_dependencies(project):
    wanted = {"python": project["requires-python"], "pip": ""}
    for text in project["dependencies"]:
        known = Requirement(text)
        wanted[CONDA_NAMES.get(known.name, known.name)] = str(known.specifier)
    listed = YAML(typ="safe").load((ROOT / "environment.yml").read_text("utf-8"))
    *texts, by_pip = listed["dependencies"]
    texts += by_pip["pip"]
    split = [re.fullmatch(r"([\w.-]+)(.*)", text).groups() for text in texts]
    assert dict(split) == wanted and len(split) == len(wanted)
    assert listed["channels"] == ["conda-forge", "nodefaults"]


def test_constraints_pin_each_dependency_exactly_and_name_no_index(project):
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    for line in pins:
        assert re.fullmatch(r"[\w.-]+==[\w.!+]+", line), line
    text = "\n".join(lines)
    assert "://" not in text and "--" not in text
    pinned = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in pins}
    for text in project["dependencies"] + project["optional-dependencies"]["test"]:
        known = Requirement(text)
        assert known.specifier.contains(pinned[canonicalize_name(known.name)]), known


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "pyproject.toml", "environment.yml"])
def test_no_package_index_is_named(name):
    text = (ROOT / name).read_text("utf-8")
    assert not re.search(r"index-url|find-links|trusted-host|https?://", text)


def test_notebooks_take_parameters_that_exist_with_their_defaults():
    used = set()
    for path in BOOKS:
        found = kernels.parameters_of(path)
        used |= set(found)
        for name, default in found.items():
            assert type(default) is type(parameters.DEFAULTS[name]), (path.name, name)
            assert default == parameters.DEFAULTS[name], (path.name, name)
    assert used == set(parameters.DEFAULTS)


def test_parameters_cells_are_typed_and_explained_without_an_equals_sign():
    pattern = re.compile(r"[a-z_]+: (str|int|bool|list\[str\]) = [^#=]+  # [^=]+ \[[^\]]+\]")
    for path in BOOKS:
        cells = nbformat.read(path, 4).cells
        (cell,) = [c for c in cells if "parameters" in c.metadata.get("tags", ())]
        for line in cell.source.splitlines():
            assert pattern.fullmatch(line), f"{path.name}: {line}"


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_tells_a_story_in_thin_cells(path):
    cells = nbformat.read(path, 4).cells
    assert cells[0].cell_type == "markdown" and "?" in cells[0].source.splitlines()[0]
    for cell in (c for c in cells if c.cell_type == "code"):
        assert len(cell.source.splitlines()) <= 10, cell.source
        assert not re.search(r"^\s*(def |class |except:|import sys\b)|sys\.path", cell.source, re.M)


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_holds_outputs_of_the_sandbox_and_nothing_else(path):
    text = path.read_text("utf-8")
    assert "papermill" not in json.loads(text)["metadata"]
    cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    numbers = [cell.execution_count for cell in cells]
    assert numbers == list(range(1, len(cells) + 1)), "not run from top to bottom: make notebooks"
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) >= len(cells) // 2, "stripped: make notebooks"
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    said = "\n".join(_texts(outputs))
    assert "Wistia sandbox" in said and "live" not in re.findall(r"Source +(.+)", said)
    assert not re.search(r"/home/|/root/|/tmp/|/Users/|127\.0\.0\.1|[\w.]+@[\w-]+\.\w{2,}", said)
    assert not re.search(r"mvra_live|Bearer|public_token", text)


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_committed_figures_are_not_blank(path):
    outputs = [o for c in nbformat.read(path, 4).cells for o in c.get("outputs", ())]
    pictures = [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= FIGURES.get(path.stem, 0)
    for picture in pictures:
        assert_drawn(base64.b64decode(picture))


def assert_drawn(png: bytes) -> None:
    """A figure has ink of several colours over a good part of it."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    colours = image.getcolors(maxcolors=image.width * image.height)
    paper = max(count for count, _ in colours)
    assert image.width >= 300 and image.height >= 150
    assert len(colours) > 20 and paper < 0.97 * image.width * image.height


def _texts(outputs) -> list[str]:
    found = []
    for output in outputs:
        data = output.get("data", {})
        found += [output.get("text", "")] + [v for k, v in data.items() if k.startswith("text/")]
    return found


def test_the_changelog_names_the_version(project):
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
