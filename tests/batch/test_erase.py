"""Forgetting a person: nothing of them is found afterwards, and others stay."""

from __future__ import annotations

import json
import shutil
import stat
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.batch import erase
from helpers.core import clock, folders
from helpers.core.errors import DataError, ParameterError
from helpers.core.files import write_parquet
from helpers.report import report
from helpers.store.store import SESSIONS, VISITORS, Store

JANE, KEY, OTHER = "Jane.O'Hara@example.com", "00jane_4711-a", "00jane_4711-b"
TOM = "tom@example.org"
REPORTED = {"05_mave_analysis": {"status": "done"}}
AT = datetime(2026, 6, 1, 10, tzinfo=UTC)


def row(schema, **known):
    return {name: known.get(name) for name in schema.names}


def session(number, key, email=None):
    return row(
        SESSIONS, event_key=f"e{number}", visitor_key=key, media_id="m1", received_at=AT,
        percent_viewed=0.5, email=email,
    )  # fmt: skip


@pytest.fixture
def filled(bare_environment, monkeypatch):
    """A store and a run with Jane under two keys and Tom under one."""
    monkeypatch.setattr(report, "build", rebuild)
    store = Store(bare_environment / "store" / "live")
    store.open("https://api.wistia.com")
    rows = [session(1, KEY, JANE.upper()), session(2, OTHER, JANE), session(3, "tom-1", TOM)]
    table = pa.Table.from_pylist(rows, SESSIONS)
    store.sessions.write(date(2026, 6, 1), table, read_at="2026-06-02T00:00:00+00:00")
    visitors = [
        row(VISITORS, visitor_key=KEY, name="Jane O'Hara", email=JANE),
        row(VISITORS, visitor_key="tom-1", name="Tom <b>", email=TOM),
    ]
    write_parquet(store.visitors_path, pa.Table.from_pylist(visitors, VISITORS))

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


def test_a_report_that_names_nobody_is_made_anew_too_for_its_numbers_differ_now(filled):
    _, folder = filled
    (folder / "report.html").write_text("<p>86 viewers</p>")
    erase.erase(JANE)
    assert (folder / "report.html").read_text() == "<p>made anew</p>"


def test_a_torn_run_json_is_left_as_it_is(filled):
    _, folder = filled
    (folder / "run.json").write_text('{"status": "do')
    erase.erase(JANE)
    assert (folder / "run.json").read_text() == '{"status": "do'


def test_without_a_store_no_hash_is_promised(filled, bare_environment):
    shutil.rmtree(bare_environment / "store")
    said = "\n".join(erase.erase(JANE))
    assert "removed from" in said and "may bring them back" in said
    assert "keyed hash" not in said


def test_the_person_is_not_taken_in_again(filled):
    store, _ = filled
    erase.erase(JANE)
    fresh = pa.Table.from_pylist([session(9, OTHER), session(8, "new-key", JANE)], SESSIONS)
    assert len(store.without_forgotten(fresh)) == 0
    kept = pa.Table.from_pylist([session(7, "tom-1", TOM)], SESSIONS)
    assert len(store.without_forgotten(kept)) == 1


def test_by_one_key_the_whole_person_goes_with_e_mail_and_other_keys(filled, bare_environment):
    store, folder = filled
    erase.erase(OTHER)
    assert store.identify(JANE)[0] == set()
    assert pd.read_parquet(folder / "data" / "viewers.parquet")["visitor_key"].tolist() == ["tom-1"]
    assert JANE.casefold() not in all_text(bare_environment).casefold()
    fresh = pa.Table.from_pylist([session(8, "new-key", JANE)], SESSIONS)
    assert len(store.without_forgotten(fresh)) == 0


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_columns_of_every_kind_are_searched(filled, bare_environment, kind):
    table = pa.table({"note": pa.array([TOM]).cast(kind)})
    for place in ("2026-07-01/data/notes.parquet", "notes.parquet"):
        pq.write_table(table, bare_environment / place)
    with pytest.raises(DataError, match=r"still found in notes\.parquet\. "):
        erase.erase(TOM)


def test_a_file_that_cannot_be_read_is_no_proof(filled, bare_environment):
    (bare_environment / "2026-07-01" / "private" / "outreach.xlsx").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="outreach.xlsx cannot be read"):
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


def test_nobody_is_no_person():
    with pytest.raises(ParameterError, match="no person is named"):
        erase.erase("  ")


@pytest.mark.parametrize("domain", ["example.com", "@example.com", "mail.example.CO"])
def test_a_domain_is_no_person(filled, bare_environment, domain):
    before = sorted(all_text(bare_environment).split())
    with pytest.raises(ParameterError, match="is a domain, not a person"):
        erase.erase(domain)
    assert sorted(all_text(bare_environment).split()) == before


def test_where_no_store_is_nothing_is_said_to_be_kept(bare_environment):
    (said,) = erase.erase("jane@example.com")
    assert said.startswith("outputs/ has no store") and "keyed hash" not in said
    assert not list(bare_environment.rglob("erased*"))


def test_what_cannot_be_rewritten_is_named(filled, bare_environment):
    (bare_environment / "notes.md").write_text(f"call {TOM}")
    with pytest.raises(DataError, match=r"still found in notes\.md"):
        erase.erase(TOM)


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


@pytest.mark.parametrize("place", ["store/live/more.parquet", "2026-07-01/data/old", "2026-07-02"])
def test_no_link_is_followed_out_of_the_folder(filled, bare_environment, place):
    outside = bare_environment.parent / "elsewhere"
    outside.mkdir()
    (outside / "viewers.csv").write_text(f"email\n{TOM}\n")
    (bare_environment / place).symlink_to(outside)
    with pytest.raises(ParameterError, match=f"^{place} in the outputs folder is a link"):
        erase.erase(TOM)
    assert (outside / "viewers.csv").read_text() == f"email\n{TOM}\n"
