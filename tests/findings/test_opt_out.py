"""The opt-out list: every address in a line counts, or the line is refused."""

import pytest
from hypothesis import given, strategies as st

from helpers.core.errors import ParameterError
from helpers.findings.opt_out import is_opted_out, read_opt_out

ANN = "ann@acme.example"
ALL_ARE_ANN = [
    "Ann@Acme.example",
    "Ann <ann@acme.example>",
    '"Lee, Ann" <ann@acme.example>',
    "Lee, Ann <ann@acme.example>",
    "Dr. Ann Lee ann@acme.example",
    "mailto:ann%40acme.example?subject=out",
    "ann@acme.example  # by letter, 2026-05-02",
    "ann＠acme.example",
    "\u200bann@acme.example\u00a0",
]
OTHERS = [
    ("a@a.example, Bob <b@b.example>;c.example", {"a@a.example", "b@b.example", "c.example"}),
    *((domain, {"own.example"}) for domain in ("@own.example", "*@own.example", "*.own.example")),
    ("müller.example", {"müller.example"}),
    ("# only a comment: ann@acme.example", set()),
    ("   ", set()),
]
UNKNOWN = """ann@acme; ann at acme.example; Ann Lee; ann@@acme.example; acme.example, call later;
Ann <ann@acme>; bob@b.example ann@acme; https://acme.example/; <>; "Ann\""""


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "opt_out.txt"
    path.write_text(text, encoding)
    return read_opt_out(path)


@pytest.mark.parametrize(("line", "entries"), [*((line, {ANN}) for line in ALL_ARE_ANN), *OTHERS])
def test_a_line_gives_the_addresses_and_domains_in_it(tmp_path, line, entries):
    assert read(tmp_path, f"{line}\n") == entries


@pytest.mark.parametrize("line", UNKNOWN.replace("\n", " ").split("; "))
def test_a_line_that_is_not_understood_is_refused_with_its_number(tmp_path, line):
    with pytest.raises(ParameterError, match="line 2") as refused:
        read(tmp_path, f"bob@b.example\n{line}\n")
    assert "ann@acme" not in str(refused.value).replace(f"such as {ANN}", "")


def test_a_list_in_another_encoding_is_refused_by_name_and_none_is_empty(tmp_path):
    with pytest.raises(ParameterError, match=r"opt_out\.txt"):
        read(tmp_path, f"{ANN}\n", "utf-16")
    assert read(tmp_path, f"{ANN}\n", "utf-8-sig") == {ANN}
    assert read_opt_out(tmp_path / "none.txt") == frozenset()
    assert is_opted_out(" Ann@ACME.example", frozenset({ANN}))
    assert not is_opted_out("bob@acme.example", frozenset({ANN}))


@given(st.text("ab.", min_size=1, max_size=6), st.sampled_from(["a.b", "b"]))
def test_a_domain_is_out_exactly_when_it_ends_in_a_whole_part(domain, out):
    expected = domain == out or domain.endswith("." + out)
    assert is_opted_out("x@" + domain, frozenset({out})) is expected
