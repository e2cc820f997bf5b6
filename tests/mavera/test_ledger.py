"""The ledger: written before, settled after, torn lines passed over, settled by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.core.errors import ParameterError, ServiceError
from helpers.core.settings import project_root
from helpers.mavera import ledger
from helpers.mavera.ledger import PENDING, SETTLED, VOID, Ledger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outputs" / "store" / "live" / "ledger-0123abcd.jsonl"


def test_an_entry_is_pending_before_it_is_settled_and_both_lines_stay(path):
    book = Ledger(path)
    entry = book.open("persona", "Binge Watchers", cluster="binge_watchers", price=300, run="r")
    assert [row.state for row in Ledger(path).entries()] == [PENDING]
    book.settle(entry, credits=300, persona_id="p1")
    again = Ledger(path).entries()
    assert [(row.state, row.credits, row.persona_id) for row in again] == [(SETTLED, 300, "p1")]
    assert len(path.read_text().splitlines()) == 2


def test_the_ledger_is_open_to_its_owner_alone(path):
    Ledger(path).open("mave", "Mave's analysis")
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kept", [1, 20, 100])
def test_a_torn_last_line_is_passed_over_and_the_next_line_stands_alone(path, kept):
    book = Ledger(path)
    entry = book.open("persona", "Skimmers", price=300)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"entry": "persona-0001' + b"x" * kept)
    book = Ledger(path)
    assert [row.state for row in book.entries()] == [PENDING]
    book.settle(entry, credits=300)
    assert [row.state for row in Ledger(path).entries()] == [SETTLED]


@settings(max_examples=25)
@given(cut=st.integers(0, 2000), lines=st.integers(1, 4))
def test_whatever_is_torn_off_no_entry_is_settled_that_was_not(tmp_path_factory, cut, lines):
    path = tmp_path_factory.mktemp("ledger") / "ledger-1.jsonl"
    book = Ledger(path)
    for number in range(lines):
        book.settle(book.open("persona", f"P{number}", price=300), credits=300)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    states = [row.state for row in Ledger(path).entries()]
    assert set(states[:-1]) <= {SETTLED} and len(states) <= lines


def test_lines_that_are_no_entries_are_passed_over(path):
    book = Ledger(path)
    book.open("reply", "Reply of Skimmers")
    with path.open("a") as file:
        file.write('[1]\n"x"\nnull\n{"entry": 5}\n\n')
    assert [row.name for row in Ledger(path).entries() if row.kind == "reply"] == [
        "Reply of Skimmers"
    ]


def test_a_later_version_with_more_fields_can_be_read(path):
    entry = Ledger(path).open("reply", "Reply")
    line = json.loads(path.read_text())
    path.write_text(json.dumps(line | {"unheard_of": 1}) + "\n")
    assert Ledger(path).entries() == [entry]


def test_a_full_disk_is_told_before_anything_is_bought(path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger, "write_line", full)
    with pytest.raises(ServiceError, match=r"ledger-0123abcd.*No space left.*Make room"):
        Ledger(path).open("persona", "Skimmers")


def test_the_mark_is_of_one_entry_and_one_question(path):
    book = Ledger(path)
    one = book.open("mave", "Mave", fingerprint="f")
    other = book.open("mave", "Mave", fingerprint="f")
    assert one.mark != other.mark and one.mark == Ledger(path).entries()[0].mark


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert ledger.fingerprint({"a": 1, "b": [2]}) == ledger.fingerprint({"b": [2], "a": 1})
    assert ledger.fingerprint({"a": 1}) != ledger.fingerprint({"a": 2})


def test_ledgers_of_two_addresses_are_two_files(tmp_path):
    live = ledger.path_for(tmp_path, "https://app.mavera.io/api/v1")
    assert live != ledger.path_for(tmp_path, "sandbox")


@pytest.mark.parametrize(("made", "state", "credits"), [(True, SETTLED, 300), (False, VOID, 0)])
def test_an_unknown_outcome_is_settled_by_hand(path, made, state, credits):
    entry = Ledger(path).open("persona", "Skimmers", price=300)
    outputs = path.parents[2]
    settled = ledger.settle_by_hand(outputs, entry.entry, made)
    assert (settled.state, settled.credits, settled.by) == (state, credits, "hand")
    assert ledger.settle_by_hand(outputs, entry.entry, not made).state != state  # a slip


def test_settling_an_unknown_or_known_entry_is_refused_and_names_those_that_wait(path):
    book = Ledger(path)
    waits = book.open("persona", "Skimmers", price=300)
    known = book.settle(book.open("persona", "Bouncers", price=300), credits=300)
    outputs = path.parents[2]
    with pytest.raises(ParameterError, match=waits.entry):
        ledger.settle_by_hand(outputs, "persona-9999-aaaaaa", True)
    with pytest.raises(ParameterError, match="the service said so"):
        ledger.settle_by_hand(outputs, known.entry, False)


def test_the_error_of_an_unknown_outcome_names_entry_and_command(path):
    entry = Ledger(path).open("persona", "Skimmers")
    error = ledger.unknown(entry, "asking failed", project_root() / "outputs")
    assert f"`viewer-personas settle {entry.entry} made`" in str(error)
    assert f"`viewer-personas settle {entry.entry} not-made`" in str(error)
    assert error.exit_status == 5


def test_the_command_to_settle_looks_where_this_run_wrote(path, monkeypatch):
    entry = Ledger(path).open("persona", "Skimmers")
    elsewhere = path.parents[2] / "of north"
    text = str(ledger.unknown(entry, "asking failed", elsewhere))
    assert f"`viewer-personas settle {entry.entry} made --outputs '{elsewhere}'`" in text
    monkeypatch.chdir(path.parents[2])
    text = str(ledger.unknown(entry, "asking failed", elsewhere))
    assert f"`viewer-personas settle {entry.entry} not-made --outputs 'of north'`" in text
