"""The one writer and the one reader of files: written at once, damaged ones told by name."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv
from ruamel.yaml import YAML

from helpers.core import clock, errors, privacy

CSV_TEXTS = dict.fromkeys(("cluster", "media_id", "title", "visitor_key", "weekday"), "str")
"""Columns of the kit's CSV files that are text whatever they look like: 0012345678 is an id."""


def log_errors(stage: str, folder: Path) -> None:
    """From now on tracebacks of errors in this notebook go to a log, without what is personal.

    Parameters
    ----------
    stage : str
        Notebook, such as ``"03_cluster"``.
    folder : Path
        Run folder, whose ``run.log`` takes them.
    """

    def log(error: errors.KitError) -> str:
        # A cell's file is there for an hour.
        text = re.sub(r'"[^"]*ipykernel_[^"]*"', '"cell"', privacy.traceback_of(error))
        line = f"{clock.now():%Y-%m-%d %H:%M:%S} ERROR {stage}: {privacy.plain(text, folder)}\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "run.log").open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            return ""
        return "/".join((*folder.parts[-2:], "run.log"))

    errors.log_in_notebook = log


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` at once, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        staged.unlink(missing_ok=True)
        staged.touch(mode=0o600)
        yield staged
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with replace_file(path) as staged:
        staged.write_text(text, "utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON; NaN and infinity are refused, for JSON has none."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} where there is no such file.

    Raises
    ------
    DataError
        The file is damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from None
    if not isinstance(content, dict):
        raise damaged(path, "no object")
    return content


@cache
def read_package_yaml(name: str) -> Any:
    """A YAML file of the package, such as ``findings/lists.yml``; not to be changed."""
    return YAML(typ="safe").load(Path(__file__).parents[1] / name)


def open_templates(
    folder: str, *, undefined: type[jinja2.Undefined] = jinja2.StrictUndefined
) -> jinja2.Environment:
    """The templates of a folder, such as ``mavera/texts``.

    In those of HTML everything that is not marked safe is escaped.
    """
    return jinja2.Environment(
        # By place: where papermill starts, another package may have the name `helpers`.
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / folder),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=undefined,
        autoescape=jinja2.select_autoescape(["html.j2"]),
    )


def write_csv(frame: pd.DataFrame, path: Path, *, encoding: str = "utf-8") -> None:
    """Write a CSV in which every cell is quoted and none is a formula; the index is left out.

    Arrow's writer takes a twentieth of the time of pandas'.
    """
    cells = privacy.disarm(frame).astype("str").fillna("")
    texts = pa.Table.from_pandas(cells, preserve_index=False)
    with replace_file(path) as staged, staged.open("wb") as file:
        file.write("".encode(encoding))  # the mark, where it has one
        csv.write_csv(texts, file, csv.WriteOptions(quoting_style="all_valid"))


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV of the kit, its texts as they were before they were disarmed.

    Raises
    ------
    DataError
        The file is damaged.
    """
    try:
        frame = pd.read_csv(path, dtype=CSV_TEXTS, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
    return privacy.rearm(frame)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file."""
    with replace_file(path) as staged:
        pq.write_table(table, staged, compression="zstd")


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file to read.

    Raises
    ------
    DataError
        The file is damaged.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(path, error) from None


def read_parquet(
    path: Path, schema: pa.Schema | None = None, columns: list[str] | None = None
) -> pa.Table:
    """A Parquet file, or those of these columns that it has.

    With a schema, a file that is not there is a table without rows.

    Raises
    ------
    DataError
        The file is damaged.
    """
    try:
        is_there = schema is None or path.exists()
        return open_parquet(path).read(columns) if is_there else schema.empty_table()
    except (OSError, pa.ArrowException) as error:  # behind a whole footer
        raise damaged(path, error) from None


def read_through(path: Path) -> None:
    """Read a Parquet file to its end.

    Raises
    ------
    DataError
        The file is damaged.
    """
    try:
        for _ in open_parquet(path).iter_batches():
            pass
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception | str) -> errors.DataError:
    """The error that names a file which is damaged."""
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0][:100]
    what = f"{'/'.join(path.parts[-3:])} is damaged and was not read ({reason})."
    remedy = "Restore it from a backup, or delete it and run again: what it held is made anew."
    return errors.DataError(what, remedy=remedy)
