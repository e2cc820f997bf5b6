"""How live answers differ from what the kit relies on: by key and kind, never by value."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter, ValidationError, create_model

from helpers.batch.doctor import PATIENCE, Finding, visit
from helpers.core import clock, files, settings as settings_module
from helpers.core.errors import DataError, KitError
from helpers.core.fields import TELL, Shape
from helpers.core.folders import make_outputs
from helpers.core.http import Client
from helpers.fetch import host_of, open_host
from helpers.personas import agent
from helpers.sandbox.process import stop_sandboxes

DOCUMENTED = files.read_package_yaml("batch/texts/documented.yml")
PLAIN = re.compile(r"[A-Za-z_]\w{0,39}")


@dataclass(frozen=True, order=True)
class Difference:
    """A key of an answer that is not as expected, in so many rows.

    Attributes
    ----------
    relied_on : bool
        False: a key that the kit does not know, or an answer that it can do without.
    """

    path: str
    key: str
    expected: str
    rows: int = 1
    relied_on: bool = True


def compare() -> Iterator[Finding]:
    """Compare answers of both services with the shapes relied on; free calls only.

    Writes ``contract.json`` into the outputs folder: paths, keys and kinds, never a value.

    Yields
    ------
    Finding
        One for each path; failed where the kit relies on what is different.
    """
    settings = settings_module.load()
    make_outputs(settings.outputs)
    run, written = visit(settings), []
    with open_host(run) as host:
        asked = {host.client: host_of(run).SHAPES, agent.Account(run).mavera.client: agent.SHAPES}
        for service, shapes in asked.items():
            service.DEADLINE = PATIENCE
            for path, shape in shapes.items():
                finding, found = _compare(service, path, shape)
                written += [{"service": service.service, **asdict(row)} for row in found]
                yield finding
    content = {
        "schema_version": 1,
        "checked_at": clock.now().isoformat(timespec="seconds"),
        "source": asdict(run.source),
        "differences": written,
    }
    files.write_json(settings.outputs / "contract.json", content)
    stop_sandboxes()


def _compare(service: Client, path: str, shape: Shape) -> tuple[Finding, list[Difference]]:
    name, kind = service.service.lower(), list if shape.rows == "[]" else dict
    try:
        answer = service.get(path, shape.query, expect=kind)
    except KitError as error:
        row = Difference(path, "(the answer)", "an answer", relied_on=shape.needed)
        return Finding(name, str(error), error if shape.needed else None), [row]
    rows = differences(path, answer, shape) + out_of_order(path, answer, shape)
    broken = [f"{row.key} (expected {row.expected})" for row in rows if row.relied_on]
    if not broken:
        return Finding(name, f"{path}: as relied on; {len(rows)} new keys"), rows
    what = f"the answer of GET {path} is not as the kit relies on: {', '.join(broken[:3])}."
    remedy = "Send contract.json of the outputs folder with a report; no value is in it."
    error = DataError(what, where=service.service, remedy=remedy)
    return Finding(name, str(error), error), rows


def differences(path: str, answer: Any, shape: Shape) -> list[Difference]:
    """How an answer differs from the shape relied on; never a value of it."""
    kind: Any = list[shape.model] if shape.rows else shape.model
    if shape.rows not in ("", "[]"):
        kind = create_model("List", **{shape.rows: (kind, ...)})
        answer = {shape.rows: answer.get(shape.rows)}
    try:
        TypeAdapter(kind).validate_python(answer, extra="forbid", context=TELL)
        return []
    except ValidationError as error:
        problems = error.errors(include_url=False)
    known, counts = DOCUMENTED.get(path, "").split(), Counter[Difference]()
    for problem in problems:
        is_new = problem["type"] == "extra_forbidden"
        if not is_new or problem["loc"][-1] not in known:
            key, expected = _named(problem["loc"]), _expected(problem)
            counts[Difference(path, key, expected, relied_on=not is_new)] += 1
    return [replace(row, rows=count) for row, count in sorted(counts.items())]


def _expected(problem: dict[str, Any]) -> str:
    words = {"missing": "present", "extra_forbidden": "no such key"}
    kind = f", not {type(problem['input']).__name__}" * problem["type"].endswith("_type")
    return words.get(problem["type"], problem["msg"].removeprefix("Input should be ") + kind)


def _named(place: tuple) -> str:
    """A place as ``[].org.name``; a key that is no plain word may be somebody's text."""
    names = (key if isinstance(key, int) or PLAIN.fullmatch(key) else "(odd name)" for key in place)
    words = "".join("[]" if isinstance(name, int) else f".{name}" for name in names)
    return words.lstrip(".") or "(the answer)"


def out_of_order(path: str, answer: Any, shape: Shape) -> list[Difference]:
    """Where a list does not come newest first, which incremental reading relies on."""
    name = shape.newest_first
    rows = [row for row in answer if isinstance(row, dict)] if name else []
    times = [str(row[name]) for row in rows if row.get(name)]
    broken = sum(later > earlier for earlier, later in pairwise(times))
    return [Difference(path, f"[].{name}", "newest first", broken)] if broken else []
