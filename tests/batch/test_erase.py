"""Forgetting a person: nothing of them is found afterwards, and others stay."""

import json
import shutil
import stat
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storing import DAY, commit, new_store, sessions

from helpers.batch import erase
from helpers.core import clock, folders
from helpers.core.errors import DataError, ParameterError
from helpers.core.files import write_parquet
from helpers.report import report
from helpers.store.schema import VISITORS

JANE, KEY, OTHER = "Jane.O'Hara@example.com", "00jane_4711-a", "00jane_4711-b"
TOM = "tom@example.org"
REPORTED = {"05_mave_analysis": {"status": "done"}}


@pytest.fixture
def filled(bare_environment, monkeypatch):
    """A store and a run with Jane under two keys and Tom under one."""
    monkeypatch.setattr(report, "build", rebuild)
    store = new_store(bare_environment)
    commit(store, DAY, sessions_of((KEY, JANE.upper()), (OTHER, JANE), ("tom-1", TOM)))
    known = [{"visitor_key": KEY, "name": "Jane O'Hara", "email": JANE}]
    known += [{"visitor_key": "tom-1", "name": "Tom <b>", "email": TOM}]
    write_parquet(store.visitors_path, pa.Table.from_pylist(known, VISITORS))

    folder = bare_environment / "2026-07-01"
    shown = {"show_identities": True}
    folders.record(folder, account="live", status="done", parameters=shown, stages=REPORTED)
    people = pd.DataFrame(
        {"visitor_key": [KEY, OTHER, "tom-1"], "email": [JANE, JANE, TOM], "video_count": 1}
    )
    (folder / "data").mkdir()
    people.to_parquet(folder / "data" / "viewers.parquet", index=False)
    (folder / "private").mkdir(mode=0o700)
    listed = folder / "private" / "outreach_casual_viewers.csv"
    listed.write_text(f"email,name\n{JANE},Jane O'Hara\n{TOM},Tom\n")
    listed.chmod(0o600)
    (folder / "02_enrich.ipynb").write_text(json.dumps({"cells": [f"x {JANE}"]}))
    (folder / "02_enrich.html").write_text("<td>Jane O&#x27;Hara</td>")
    (folder / "03_cluster.ipynb").write_text(json.dumps({"cells": [TOM]}))
    (folder / "report.html").write_text(f"<p>{JANE.replace(chr(39), '&#x27;')}</p>")
    return store, folder


def sessions_of(*rows):
    """A session of each key, with an e-mail."""
    return pa.concat_tables([sessions(key, email=email) for key, email in rows])


def rebuild(folder):
    (folder / "report.html").write_text("<p>made anew</p>")


def all_text(outputs):
    texts = []
    for path in outputs.rglob("*"):
        if path.suffix == ".parquet":
            texts.append(pq.read_table(path).to_pandas().to_csv())
        elif path.is_file():
            texts.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(texts)


def test_by_mail_all_keys_go_from_store_tables_lists_notebooks_and_pages(filled, bare_environment):
    store, folder = filled
    said = "\n".join(erase.erase("jane.o'hara@EXAMPLE.com"))
    assert "store/live: 2 sessions, 1 visitor row removed." in said
    assert "viewers.parquet" in said and "outreach_casual_viewers.csv" in said
    assert "The report is made anew." in said
    assert "Wistia's own copy stays" in said and "keyed hash" in said
    text = all_text(bare_environment)
    for trace in ("jane", KEY, OTHER, "Jane", "O'Hara", "Hara"):
        assert trace.casefold() not in text.casefold(), trace
    assert pd.read_parquet(folder / "data" / "viewers.parquet")["email"].tolist() == [TOM]
    listed = folder / "private" / "outreach_casual_viewers.csv"
    assert listed.read_text() == f'"email","name"\n"{TOM}","Tom"\n'
    assert folders.read_manifest(folder).model_extra["erased_on"] == clock.today().isoformat()
    assert stat.S_IMODE(listed.stat().st_mode) == 0o600
    assert not (folder / "02_enrich.ipynb").exists() and not (folder / "02_enrich.html").exists()
    assert (folder / "03_cluster.ipynb").exists()
    assert (folder / "report.html").read_text() == "<p>made anew</p>"


def test_by_one_key_the_whole_person_goes_with_e_mail_and_other_keys(filled, bare_environment):
    store, folder = filled
    erase.erase(OTHER)
    assert store.identify(JANE)[0] == set()
    assert pd.read_parquet(folder / "data" / "viewers.parquet")["visitor_key"].tolist() == ["tom-1"]
    assert JANE.casefold() not in all_text(bare_environment).casefold()
    kept = store.without_forgotten(sessions_of(("new-key", JANE), (KEY, None), ("tom-1", TOM)))
    assert kept["visitor_key"].to_pylist() == ["tom-1"], "the person is not taken in again"


LISTED = pa.dictionary(pa.int32(), pa.string())


def write_table(kind):
    table = pa.table({"note": pa.array([TOM]).cast(kind)})
    return lambda path: pq.write_table(table, path)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.parquet", write_table(pa.large_string()), r"still found in a\.parquet"),
        ("b.parquet", write_table(LISTED), r"still found in b\.parquet"),
        ("notes.md", lambda path: path.write_text(f"call {TOM}"), r"still found in notes\.md"),
        ("x.xlsx", lambda path: path.write_bytes(b"PK no zip"), r"x\.xlsx cannot be read"),
    ],
)
def test_what_cannot_be_rewritten_or_read_is_named(filled, bare_environment, name, write, said):
    write(bare_environment / name)
    with pytest.raises(DataError, match=said):
        erase.erase(TOM)


def test_a_key_that_no_table_has_removes_nothing(filled, bare_environment):
    before = all_text(bare_environment / "2026-07-01")
    said = erase.erase("a")
    assert said[0].startswith("Nothing is stored in outputs/ of an e-mail or visitor_key spelt")
    assert all_text(bare_environment / "2026-07-01") == before


def test_a_person_whom_the_store_let_go_is_still_found_in_an_old_run(filled, bare_environment):
    store, folder = filled
    store.drop_days(date(2026, 12, 1), keep=(date(2026, 12, 1), date(2026, 12, 1)))
    said = "\n".join(erase.erase(TOM))
    assert "viewers.parquet" in said
    assert TOM not in all_text(bare_environment)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("  ", "no person is named"),
        ("Jane O'Hara", "no person is named"),
        ("example.com", "is a domain, not a person"),
        ("@example.com", "is a domain, not a person"),
        ("mail.example.CO", "is a domain, not a person"),
    ],
)
def test_who_is_no_person_is_refused(filled, bare_environment, who, said):
    before = sorted(all_text(bare_environment).split())
    with pytest.raises(ParameterError, match=said):
        erase.erase(who)
    assert sorted(all_text(bare_environment).split()) == before


def test_without_a_store_no_hash_is_promised(filled, bare_environment):
    shutil.rmtree(bare_environment / "store")
    said = "\n".join(erase.erase(JANE))
    assert "removed from" in said and "may bring them back" in said
    said += "\n".join(erase.erase("anna@example.com"))
    assert "outputs/ has no store" in said and "keyed hash" not in said
    assert not list(bare_environment.rglob("erased*"))


def test_accounts_with_outputs_folders_of_their_own_are_searched_too(filled, bare_environment):
    north = bare_environment / "north"
    north.mkdir()
    for name in ("store", "2026-07-01"):
        (bare_environment / name).rename(north / name)
    said = erase.erase(JANE)
    assert said[0] == "north/store/live: 2 sessions, 1 visitor row removed."
    assert KEY not in all_text(bare_environment) and TOM in all_text(bare_environment)


def test_what_a_killed_process_left_half_written_goes_first(filled, bare_environment):
    store, folder = filled
    spill = store.folder / ".spill" / "duckdb_temp_storage.tmp"
    spill.parent.mkdir()
    for path in (spill, folder / "data" / ".viewers.parquet.4711.tmp"):
        path.write_text(TOM)
    erase.erase(TOM)
    assert TOM not in all_text(bare_environment)


def test_no_link_is_followed_out_of_the_folder(filled, bare_environment):
    outside = bare_environment.parent / "elsewhere"
    outside.mkdir()
    (outside / "viewers.csv").write_text(f"email\n{TOM}\n")
    (bare_environment / "2026-07-01" / "data" / "old").symlink_to(outside)
    with pytest.raises(ParameterError, match="^2026-07-01/data/old in the outputs folder is a li"):
        erase.erase(TOM)
    assert (outside / "viewers.csv").read_text() == f"email\n{TOM}\n"
