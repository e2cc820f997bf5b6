"""A section shows itself, and is written and read as plain JSON."""

import json

import numpy as np
import pandas as pd
from bs4 import BeautifulSoup

from helpers.findings.section import Section, make_section, to_plain

RATES = pd.DataFrame({
    "cluster": ["bouncers", "<b>"], "rate": [0.262, np.nan], "low": [0.216, np.nan],
    "high": [0.312, np.nan], "viewers": pd.array([390, None], "Int64"), "secret": ["x", "y"],
})  # fmt: skip
LABELS = {"cluster": "cluster", "rate": "rate, share", "low": "low", "high": "high",
          "viewers": "[viewers]"}  # fmt: skip


def test_a_section_comes_back_from_json_as_it_was_written():
    section = Section("A quarter.", RATES, LABELS, "Wilson.", {"more": Section("None.")})
    written = json.loads(json.dumps(section.to_json(), allow_nan=False))
    hidden = dict.fromkeys(["rate", "low", "high", "viewers"])
    assert written["rows"][1] == {"cluster": "<b>"} | hidden
    assert "secret" not in json.dumps(written)
    assert Section.from_json(written).to_json() == written
    assert Section.from_json(written).parts["more"].table.empty


def test_labels_and_note_are_those_of_the_list_of_its_columns():
    table = pd.DataFrame({"viewers": [5], "secret": ["x"], "period": ["2026-06-01"]})
    section = make_section("trend", table, unit="week")
    assert section.finding == "Viewers by week."
    both = make_section("trend", table.assign(people=5), unit="week")
    assert both.finding == "Viewers and identified people by week."
    assert section.labels == {"period": "week from", "viewers": "viewers"}
    assert section.note.endswith("a week that the window cuts is left out.")


def test_one_is_worded_as_one_and_none_shown_is_not_none_there():
    one, two = (pd.DataFrame({"media_id": ["talk"] * n}) for n in (1, 2))
    again = "watched again at least twice as often as usual."
    assert make_section("peaks", one).finding == f"1 place is {again}"
    assert make_section("peaks", two).finding == f"2 places are {again}"
    assert make_section("videos_watched", one).finding == "1 video has a curve."
    assert make_section("videos_watched", two).finding == "2 videos have a curve."
    hidden = pd.DataFrame({"reach": [None]})
    for name, table in (("content_videos", hidden), ("folders", hidden[:0])):
        assert make_section(name, table).finding.endswith("or nearly all."), name


def test_a_notebook_sees_the_sentence_the_labels_and_escaped_values():
    page = BeautifulSoup(Section("5 < 6.", RATES, LABELS, "Wilson.")._repr_html_(), "html.parser")
    assert page.strong.get_text() == "5 < 6." and page.caption.get_text() == "Wilson."
    first = page.tbody.find_all("tr")[0].get_text("|", strip=True).replace("\u00a0", " ")
    assert "26 % (22 to 31)" in first and "390" in first
    assert not page.tbody.b and "secret" not in page.get_text()
    assert "Nothing." in Section("Nothing.")._repr_html_()
    text = repr(Section("A quarter.", RATES, LABELS, "Wilson."))  # and a console the same
    assert "A quarter." in text and "rate, share" in text and "secret" not in text


def test_values_become_what_json_knows():
    assert to_plain([np.float64("nan"), np.inf, pd.NA, pd.NaT]) == [None] * 4
    numbers = [np.bool_(True), np.int32(3), 0.1 + 0.2, np.array([1.5])]
    assert to_plain(numbers) == [True, 3, 0.3, [1.5]]
    assert to_plain(pd.Timestamp("2026-06-01", tz="UTC")) == "2026-06-01T00:00:00+00:00"


def test_a_cluster_is_left_out_of_a_section_and_its_parts():
    rows = pd.DataFrame({"cluster": ["tiny", "large"], "viewers": [pd.NA, 20]})
    section = Section("Twenty.", rows, parts={"videos": Section("So many.", rows)})
    left = section.without(["tiny"])
    assert left.table["cluster"].tolist() == ["large"]
    assert left.parts["videos"].table["cluster"].tolist() == ["large"]
