"""Nothing personal is kept, shown or written that need not be."""

import stat

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.core import files, privacy
from helpers.core.errors import DataError


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("https://shop.example.com/demo?utm_source=mail&sid=123#top", "shop.example.com/demo"),
        ("http://user:pw@example.com:8080/a/b/", "example.com/a/b"),
        ("https://example.com/u/jane@example.org/x", "example.com/u/(hidden)/x"),
        ("https://example.com/u/jane%40example.org/x", "example.com/u/(hidden)/x"),
        ("", None),
        (None, None),
        ("javascript:alert(1)", None),
        ("http://[broken", None),
        ("just words", None),
    ],
)
def test_of_an_address_host_and_path_stay(address, page):
    assert privacy.page_of(address)[0] == page


def test_of_a_query_only_utm_values_stay():
    utm = privacy.page_of(
        "https://e.example/?utm_source=ads&utm_campaign=x%20y&email=a@b.co&gclid=1"
    )[1]
    assert utm == {
        "utm_source": "ads", "utm_medium": None, "utm_campaign": "x y", "utm_term": None,
        "utm_content": None,
    }  # fmt: skip


def test_an_address_inside_a_utm_value_is_hidden():
    assert (
        privacy.page_of("https://e.example/?utm_content=jane%40e.example")[1]["utm_content"]
        == "(hidden)"
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\n"])
def test_a_cell_that_starts_a_formula_is_disarmed(start):
    frame = pd.DataFrame({"name": [f"{start}HYPERLINK(1)"], "viewers": [-3]})
    safe = privacy.disarm(frame)
    assert safe["name"][0] == f"'{start}HYPERLINK(1)"
    assert safe["viewers"][0] == -3
    assert frame["name"][0].startswith(start)  # the frame given stays as it was


@given(st.text())
def test_no_text_cell_starts_a_formula(text):
    cell = privacy.disarm(pd.DataFrame({"name": [text]}))["name"][0]
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_private_list_is_readable_by_its_owner_alone(tmp_path):
    path = tmp_path / "private" / "x.csv"
    files.write_csv(pd.DataFrame({"a": [1]}), path, private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.html", "<p>jane@example.com</p>", "an e-mail address"),
        ("a.json", '{"x": "jane%40example.com"}', "an e-mail address"),
        ("a.ipynb", "token-1234567", "a secret"),
        ("data/a.csv", "https://x/iframe.html?public_token=1", "a heatmap token"),
    ],
)
def test_the_scan_finds_a_planted_leak_and_does_not_repeat_it(tmp_path, name, text, kind):
    folder = tmp_path / "outputs" / "2026-01-01"
    (folder / "data").mkdir(parents=True)
    (folder / name).write_text(text)
    assert privacy.scan(folder, secrets=["token-1234567"]) == [(name, kind)]
    with pytest.raises(DataError) as refused:
        privacy.refuse_leaks(folder, secrets=["token-1234567"])
    assert text not in str(refused.value)
    assert refused.value.exit_status == 7


def test_the_scan_finds_the_machine_s_paths(tmp_path):
    folder = tmp_path / "outputs" / "2026-01-01"
    folder.mkdir(parents=True)
    (folder / "run.log").write_text(f"wrote {folder}/report.html")
    assert privacy.scan(folder) == [("run.log", "an absolute path")]


def test_the_outputs_folder_named_alone_keeps_its_name_only(tmp_path):
    outputs = tmp_path / "north (1)"
    text = f"settle x made --outputs '{outputs}'`, {outputs}/2026-01-01/run.log, {outputs}er"
    assert privacy.relative(text, outputs / "2026-01-01") == (
        f"settle x made --outputs 'north (1)'`, run.log, {outputs}er"
    )


def test_the_scan_leaves_private_lists_and_allowed_addresses_alone(tmp_path):
    folder = tmp_path / "outputs" / "2026-01-01"
    (folder / "private").mkdir(parents=True)
    (folder / "private" / "outreach_bouncers.csv").write_text("jane@example.com")
    (folder / "report.html").write_text("jane@example.com")
    assert privacy.scan(folder, emails_allowed=True) == []


def test_a_key_that_is_a_plain_word_is_no_leak_where_the_word_stands(tmp_path):
    folder = tmp_path / "outputs" / "2026-01-01"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("what looks wrong, anything, a token of 16 letters")
    assert privacy.scan(folder, secrets=["wrong", "anything", "token", "16"]) == []


def test_addresses_in_texts_of_owners_and_ai_are_hidden():
    said = {"content": "Write to jane@example.com.", "sources": [{"url": "https://m.com/@jane/a"}]}
    assert privacy.without_emails(said) == {
        "content": "Write to (e-mail).", "sources": [{"url": "https://m.com/@jane/a"}],
    }  # fmt: skip
    assert privacy.without_emails(None) is None
