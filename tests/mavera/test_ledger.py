"""The ledger: written before, settled after, torn lines passed over, settled by hand."""

import json

import pytest
from hypothesis import given, settings, strategies as st

from helpers.core.errors import ParameterError
from helpers.core.settings import command
from helpers.mavera import ledger
from helpers.mavera.ledger import PENDING, SETTLED, VOID, Ledger


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outputs" / "store" / "live" / "ledger-0123abcd.jsonl"


def test_an_entry_is_pending_before_it_is_settled_and_both_lines_stay(path):
    book = Ledger(path)
    entry = book.open("persona", "Binge Watchers", cluster="binge_watchers", price=300, run="r")
    assert [row.state for row in Ledger(path).entries()] == [PENDING]
    assert path.stat().st_mode & 0o077 == 0
    book.settle(entry, credits=300, persona_id="p1")
    again = Ledger(path).entries()
    assert [(row.state, row.credits, row.persona_id) for row in again] == [(SETTLED, 300, "p1")]
    assert len(path.read_text().strip().splitlines()) == 2


@settings(max_examples=25)
@given(cut=st.integers(0, 2000), lines=st.integers(1, 4))
def test_whatever_is_torn_off_no_entry_is_settled_that_was_not(tmp_path_factory, cut, lines):
    path = tmp_path_factory.mktemp("ledger") / "ledger-1.jsonl"
    book = Ledger(path)
    for number in range(lines):
        book.settle(book.open("persona", f"P{number}", price=300), credits=300)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    book = Ledger(path)
    states = [row.state for row in book.entries()]
    assert set(states[:-1]) <= {SETTLED} and len(states) <= lines
    book.open("persona", "Next")  # stands on a line of its own
    assert Ledger(path).entries()[-1].name == "Next"


def test_lines_that_are_no_entries_are_passed_over_and_later_fields_too(path):
    entry = Ledger(path).open("reply", "Reply of Skimmers")
    line = json.loads(path.read_text().strip()) | {"unheard_of": 1}
    path.write_text(f'[1]\n"x"\nnull\n{{"entry": 5}}\n\n{"[" * 99999}\n{json.dumps(line)}\n')
    assert Ledger(path).entries() == [entry]


def test_marks_fingerprints_and_files_tell_apart_what_differs(path, tmp_path):
    book = Ledger(path)
    one, other = (book.open("mave", "Mave", fingerprint="f") for _ in range(2))
    assert one.mark != other.mark and one.mark == Ledger(path).entries()[0].mark
    assert ledger.fingerprint({"a": 1, "b": [2]}) == ledger.fingerprint({"b": [2], "a": 1})
    assert ledger.fingerprint({"a": 1}) != ledger.fingerprint({"a": 2})
    live = ledger.path_for(tmp_path, "https://app.mavera.io/api/v1")
    assert live != ledger.path_for(tmp_path, "sandbox")


@pytest.mark.parametrize(("made", "state", "credits"), [(True, SETTLED, 300), (False, VOID, 0)])
def test_an_unknown_outcome_is_settled_by_hand(path, made, state, credits):
    entry = Ledger(path).open("persona", "Skimmers", price=300)
    settled = ledger.settle_by_hand(path.parents[2], entry.entry, made)
    assert (settled.state, settled.credits, settled.by) == (state, credits, "hand")
    assert ledger.settle_by_hand(path.parents[2], entry.entry, not made).state != state  # a slip


def test_settling_an_unknown_or_known_entry_is_refused_and_names_those_that_wait(path):
    book = Ledger(path)
    waits = book.open("persona", "Skimmers", price=300)
    known = book.settle(book.open("persona", "Bouncers", price=300), credits=300)
    for entry, told in (("persona-9", f"in no ledger.*{waits.entry}"), (known.entry, "said so")):
        with pytest.raises(ParameterError, match=told):
            ledger.settle_by_hand(path.parents[2], entry, False)


def test_the_error_of_an_unknown_outcome_names_entry_and_command(path):
    entry = Ledger(path).open("persona", "Skimmers")
    elsewhere = path.parents[2] / "of {x} north"
    error = str(ledger.unknown(entry, "asking failed", elsewhere))
    for outcome in ("made", "not-made"):
        assert f"`{command(f'settle {entry.entry} {outcome}', elsewhere)}`" in error
    assert f"--outputs '{elsewhere}'" in error
