"""Nothing personal is kept, shown or written that need not be."""

import html
import json
import re
import unicodedata
import zipfile
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from helpers.core import privacy
from helpers.core.errors import DataError


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("https://shop.example.com/demo?utm_source=mail&sid=123#top", "shop.example.com/demo"),
        ("http://user:pw@example.com:8080/a/b/", "example.com/a/b"),
        ("https://example.com/u/jane@example.org/x", "example.com/u/(hidden)/x"),
        ("https://example.com/u/jane%40example.org/x", "example.com/u/(hidden)/x"),
        ("", None),
        ("javascript:alert(1)", None),
        ("http://[broken", None),
        ("just words", None),
    ],
)
def test_of_an_address_host_and_path_stay(address, page):
    assert privacy.page_of(address)["page"] == page


@given(
    st.from_regex(r"https?://[^/]*(/[^?]*)?(\?(utm_term|email)=.*)?", fullmatch=True) | st.text()
)
def test_whatever_an_address_holds_no_person_and_no_query_stays(address):
    parts = privacy.page_of(address)
    kept = " ".join(filter(None, parts.values()))
    assert not privacy.EMAIL.search(kept) and "?" not in (parts["page"] or "")
    assert set(parts) == {"page", *privacy.UTM}


def test_of_a_query_only_utm_values_stay_and_no_address_in_them():
    query = "utm_source=ads&utm_campaign=x%20y&page=a@b.co&gclid=1&utm_content=jane%40e.example"
    parts = privacy.page_of(f"https://e.example/?{query}")
    assert {name: value for name, value in parts.items() if value} == {
        "page": "e.example", "utm_source": "ads", "utm_campaign": "x y", "utm_content": "(hidden)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("-1", "'-1"), ("＝1", "'＝1"), ("＠x", "'＠x"), (" +1", "' +1"),
        ("\u200b=1", "'=1"), ("\r=1", "' =1"), ("\x07@a", "'@a"), ('"=1', "\"'=1"),
        ("Ann;=1+1", "Ann;'=1+1"), ("Ann| =1", "Ann|' =1"), ("'=1", "''=1"), ("'tis", "'tis"),
        ("a=b - c", "a=b - c"), ("two\nlines", "two lines"),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula_for_any_program_and_none_is_lost(text, cell):
    frame = pd.DataFrame({"name": [text], "viewers": [-3]})
    safe = privacy.disarm(frame)
    assert (safe["name"][0], safe["viewers"][0]) == (cell, -3)
    assert frame["name"][0] == text, "the frame given stays as it was"
    back = privacy.rearm(safe)["name"][0]
    assert back == re.sub("[\r\n]", " ", privacy.clean_text(text))


HOSTILE = st.text(st.characters() | st.sampled_from("=+-@＝－;|\"'\r\n\t \u200b\u202e"))


@given(HOSTILE)
def test_wherever_a_program_may_begin_a_cell_no_sign_stands(text):
    (cell,) = privacy.disarm(pd.DataFrame({"name": [text]}))["name"]
    for piece in re.split(r"""[;|"\t\r\n]""", cell):
        assert piece.strip()[:1] not in {*"=+-@＝＋－＠"}
    (back,) = privacy.rearm(pd.DataFrame({"name": [cell]}))["name"]
    assert back == re.sub("[\n\t]", " ", privacy.clean_text(text))


@given(HOSTILE)
def test_a_cleaned_text_shows_all_it_holds(text):
    clean = privacy.clean_text(text)
    assert clean == privacy.clean_text(clean)
    kinds = {unicodedata.category(sign) for sign in clean if sign not in "\n\t"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


KEY = "Abcd1234efgh5678ijkl9012"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "outputs" / "2026-01-01"
    (made / "data").mkdir(parents=True)
    (made / "private").mkdir()
    return made


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.html", "<p>jane@example.com</p>", "an e-mail address"),
        ("a.txt", "jané@exämple.de", "an e-mail address"),
        ("my.yml", "jane＠example.com", "an e-mail address"),
        ("a", f"{KEY[5:18]}…", "a secret"),
        ("a.log", KEY.upper(), "a secret"),
        ("a.md", "the key mnopqrstuvwxyz", "a secret"),
        ("data/a.csv", "https://x/iframe.html?public_token=1", "a heatmap token"),
    ],
)
def test_the_scan_finds_a_planted_leak_and_does_not_repeat_it(folder, name, text, kind):
    (folder / name).write_text(text)
    secrets = [KEY, "abcdefghijklmnopqrstuvwxyz"]
    with pytest.raises(DataError, match=f"scan: {kind} in {name}") as refused:
        privacy.refuse_leaks(folder, secrets=secrets)
    assert text not in str(refused.value)
    assert refused.value.exit_status == 7


def test_the_scan_reads_spreadsheets_and_utf_16_and_leaves_lists_of_people_alone(folder):
    with zipfile.ZipFile(folder / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", "<t>jane@example.com</t>")
    (folder / "b.txt").write_text("jane@example.com", "utf-16")
    (folder / "d.parquet").write_text("jane@example.com")
    (folder / "private" / "outreach_bouncers.csv").write_text("jane@example.com")
    with pytest.raises(DataError) as refused:
        privacy.refuse_leaks(folder)
    told = "an e-mail address in a.xlsx; an e-mail address in b.txt."
    assert f"scan: {told}" in str(refused.value)
    privacy.refuse_leaks(folder, emails=True)


@pytest.mark.parametrize(
    "name", ["plain", "país [2026] *it's? #1 100% {x}", 'a "quoted" one & more']
)
def test_folders_of_this_machine_are_found_and_taken_out_however_they_are_written(tmp_path, name):
    folder = tmp_path / name / "2026-01-01"
    folder.mkdir(parents=True)
    place = str(folder / "report.html")
    for written in (place, json.dumps(place), html.escape(place), quote(place)):
        (folder / "run.log").write_text(f"wrote {written}")
        with pytest.raises(DataError, match="scan: an absolute path in run.log"):
            privacy.refuse_leaks(folder)
        assert "report.html" in privacy.relative(written, folder)
        (folder / "run.log").write_text(privacy.relative(written, folder))
        privacy.refuse_leaks(folder)


def test_the_outputs_folder_named_alone_keeps_its_name_only(tmp_path):
    outputs = tmp_path / "north (1)"
    text = f"settle x made --outputs '{outputs}'`, {outputs}/2026-01-01/run.log, {outputs}er"
    assert privacy.relative(text, outputs / "2026-01-01") == (
        f"settle x made --outputs 'north (1)'`, run.log, {outputs}er"
    )


def test_a_key_that_is_a_plain_word_is_no_leak_where_the_word_stands(folder):
    (folder / "report.html").write_text("what looks wrong, anything, a token of 16 letters")
    privacy.refuse_leaks(folder, secrets=["wrong", "anything", "token", "16"])
