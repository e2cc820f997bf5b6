"""Tables to read: text to the left, numbers to the right with their unit, no row numbers."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from helpers.core import tables


def drawn(frame: pd.DataFrame) -> list[list[str]]:
    """Texts of the table, a list per row, headings first."""
    table = BeautifulSoup(tables.frame_html(frame), "html.parser")
    return [
        [cell.get_text().replace("\u00a0", " ") for cell in row.find_all(["th", "td"])]
        for row in table.find_all("tr")
    ]


def test_text_stands_left_and_numbers_right_in_any_viewer():
    frame = pd.DataFrame({"title": ["Tour"], "viewers": [1247]})
    cells = BeautifulSoup(tables.frame_html(frame), "html.parser").find_all(["th", "td"])
    assert [cell["style"] for cell in cells] == ["text-align: left", "text-align: right"] * 2
    assert [cell.get("class") for cell in cells] == [None, ["n"]] * 2
    assert [cell.get("scope") for cell in cells] == ["col", "col", "row", None]


def test_a_row_number_is_left_out_and_a_named_index_stays():
    frame = pd.DataFrame({"viewers": [402, 86]})
    assert drawn(frame) == [["viewers"], ["402"], ["86"]]
    named = frame.set_index(pd.Index(["bouncers", "binge_watchers"], name="cluster"))
    assert drawn(named)[1] == ["bouncers", "402"]
    assert drawn(frame.iloc[[1]]) == [["viewers"], ["86"]]
    counted = frame.set_index(pd.Index([1, 2], name="videos"))
    assert drawn(counted)[0] == ["videos", "viewers"]


@pytest.mark.parametrize(
    ("name", "values", "texts"),
    [
        ("viewers", [3789, 0], ["3,789", "0"]),
        ("share", [0.0706, 0.0004], ["7 %", "under 1 %"]),
        ("avg_percent_watched", [33.372, None], ["33 %", "–"]),
        ("completion [%]", [77.3, 80.0], ["77 %", "80 %"]),
        ("avg_videos", [2.0, 1.0], ["2", "1"]),
        ("lift [times all viewers]", [8.399, 0.823], ["8.4", "0.82"]),
        ("q-value", [0.591, 4e-41], ["0.591", "under 0.001"]),
        ("difference", [-0.018, 0.053], ["−1.8 points", "+5.3 points"]),
        ("detectable", [0.16, None], ["16 points", "–"]),
        ("play_rate", [0.36, 0.5], ["36 %", "50 %"]),
        ("changed", [True, False], ["yes", "no"]),
        ("seen", [pd.Timestamp("2026-06-30 16:05"), pd.NaT], ["2026-06-30 16:05", "–"]),
        ("countries", [["US", "GB"], []], ["US, GB", "none"]),
    ],
)
def test_a_column_is_written_by_what_it_means(name, values, texts):
    shown = drawn(pd.DataFrame({name: values}))
    assert [row[0] for row in shown[1:]] == texts


def test_the_ends_of_an_interval_join_the_value_they_belong_to():
    frame = pd.DataFrame(
        [[0.0706, 0.0575, 0.0864, 0.472, 0.403, 0.541]],
        columns=["share", "low", "high", "keep their label [share of draws]", "low", "high"],
    )
    assert drawn(frame) == [
        ["share", "keep their label, share of draws"], ["7 % (6 to 9)", "47 % (40 to 54)"],
    ]  # fmt: skip


def test_a_place_in_a_video_is_written_as_m_ss():
    html = tables.section_html("", pd.DataFrame({"second": [65.0]}), {"second": "where"}, "")
    assert ">1:05<" in html


def test_a_table_by_two_groupings_says_which_way_to_read_it_and_hides_what_was_hidden():
    moved = pd.DataFrame(
        [[86, None], [None, 40]],
        index=pd.Index(["fans", "rest"], name="now"),
        columns=pd.Index(["fans", "rest"], name="then"),
    ).astype("Int64")
    assert drawn(moved) == [
        ["now, down; then, across", "fans", "rest"], ["fans", "86", "–"], ["rest", "–", "40"],
    ]  # fmt: skip


def test_a_printed_frame_has_readable_numbers_too():
    with pd.option_context("display.float_format", None):
        tables.install()
        text = str(pd.DataFrame({"share": [0.07061, 4e-5, 0.5], "seconds": [12190.0, 8.081, 0.0]}))
    assert "e-02" not in text and "0.071" in text and "12,190" in text and "8.1" in text


def test_a_long_table_is_cut_and_says_so():
    html = BeautifulSoup(tables.frame_html(pd.DataFrame({"a": range(1218)})), "html.parser")
    assert len(html.tbody.find_all("tr")) == 60
    assert html.caption.get_text() == "The first 60 of 1,218 rows."


def test_what_came_from_outside_is_escaped_and_two_columns_may_have_one_name():
    frame = pd.DataFrame([["<script>", 2]], columns=["<b>title", "<b>title"])
    assert "<script>" not in tables.frame_html(frame) and "<b>" not in tables.frame_html(frame)
    assert drawn(frame) == [["<b>title", "<b>title"], ["<script>", "2"]]


def test_columns_and_an_index_of_several_levels_are_flattened():
    index = pd.MultiIndex.from_tuples([("bouncers", "US")], names=["cluster", "country"])
    frame = pd.DataFrame([[7]], index=index, columns=pd.MultiIndex.from_tuples([("a", "b")]))
    assert drawn(frame) == [["cluster", "country", "a · b"], ["bouncers", "US", "7"]]
    assert drawn(frame.iloc[:0]) == [["cluster", "country", "a · b"]]
