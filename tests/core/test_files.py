"""Files: written at once, for their owner alone; damaged ones and others' are told by name."""

import os
import shutil
import stat
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from helpers.core import files, folders
from helpers.core.errors import DataError, ParameterError


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_new_outputs_folder_and_all_in_it_is_its_owners_alone(tmp_path, open_umask):
    outputs = tmp_path / "a" / "outputs"
    os.umask(0o077)  # as commands and notebooks set it
    folders.make_outputs(outputs)
    files.write_json(outputs / "2026-07-01" / "data" / "x.json", {})
    for path in (outputs, outputs / "2026-07-01", outputs / "2026-07-01" / "data"):
        assert mode(path) == 0o700
    assert mode(outputs / "2026-07-01" / "data" / "x.json") == 0o600
    folders.make_outputs(outputs)


@pytest.mark.parametrize("holds", [None, "opt_out.txt", "2026-07-01.2", "store"])
def test_a_folder_that_is_empty_or_the_kits_is_used_and_keeps_its_mode(tmp_path, holds):
    tmp_path.chmod(0o755)
    if holds:
        (tmp_path / holds).touch()
    folders.make_outputs(tmp_path)
    assert mode(tmp_path) == 0o755 and (tmp_path / folders.MARK).exists()


def test_a_folder_of_others_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(ParameterError, match="--outputs"):
        folders.make_outputs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), files.replace_file(path) as staged:
        staged.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"a": 1} and list(tmp_path.iterdir()) == [path]
    assert files.read_json(tmp_path / "none.json") == {}


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000])
def test_a_damaged_file_is_told_by_name_never_read_as_empty(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(DataError, match="run.json is damaged"):
        files.read_json(path)
    with pytest.raises(DataError, match="run.json is damaged"):
        files.open_parquet(path)


def test_a_table_that_is_damaged_behind_a_whole_footer_is_told_by_name(tmp_path):
    path, table = tmp_path / "engagement.parquet", pa.table({"second": range(10_000)})
    files.write_parquet(path, table)
    assert files.read_parquet(path, table.schema).equals(table)
    raw = path.read_bytes()
    path.write_bytes(raw[:4] + b"\xff" * 3000 + raw[3004:])
    with pytest.raises(DataError, match="engagement.parquet is damaged"):
        files.read_parquet(path, table.schema)
    assert len(files.read_parquet(tmp_path / "none.parquet", table.schema)) == 0


def test_folders_that_go_while_links_are_looked_for_are_no_error(tmp_path, monkeypatch):
    """Another account's run deletes its spilled and derived files in the same outputs folder."""
    others = {"one": tmp_path / "store" / "two", "two": tmp_path / "store" / "one"}
    for folder in others.values():
        folder.mkdir(parents=True)
        (folder / "part").touch()
    is_symlink = Path.is_symlink

    def other_is_deleted(path):
        if path.name == "part":
            shutil.rmtree(others[path.parent.name], ignore_errors=True)
        return is_symlink(path)

    monkeypatch.setattr(Path, "is_symlink", other_is_deleted)
    folders.refuse_links(tmp_path)
    assert len([*(tmp_path / "store").iterdir()]) == 1


def test_every_cell_of_a_csv_is_quoted_and_ids_stay_text(tmp_path):
    path = tmp_path / "x.csv"
    files.write_csv(pd.DataFrame({"media_id": ["0012345678"], "viewers": [3], "low": [None]}), path)
    assert path.read_text() == '"media_id","viewers","low"\n"0012345678","3",""\n'
    assert files.read_csv(path)["media_id"][0] == "0012345678"


@given(
    st.text(
        st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" =+-@'\";|,"), min_size=1
    )
)
def test_a_text_comes_back_from_a_csv_as_it_was(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "x.csv"
    files.write_csv(pd.DataFrame({"title": [text]}), path)
    assert files.read_csv(path)["title"][0] == text
