"""What may be said of a cluster: numbers of at least min_cell viewers, and when they changed."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.mavera import drafts
from helpers.mavera.payloads import ClusterNumbers

pytest_plugins = ("money_fixtures",)


def by_name(run) -> dict[str, ClusterNumbers]:
    return {row.cluster: row for row in drafts.of_clusters(run)}


def test_the_numbers_of_a_cluster_are_those_of_its_viewers(make_world):
    binge = by_name(make_world().run())["binge_watchers"].body()
    assert binge["viewers"] == 30 and binge["share"] == 0.2
    assert binge["avg_videos"] == 6 and binge["avg_percent_watched"] == 90
    assert binge["videos_per_viewer"] == {"p10": 6, "p50": 6, "p90": 6}
    assert binge["mobile"] == {"name": "mobile", "viewers": 15, "share": 0.5}
    assert binge["countries"] == [
        {"name": "US", "viewers": 20, "share": 0.6667},
        {"name": "GB", "viewers": 10, "share": 0.3333},
    ]
    assert [video["title"] for video in binge["top_videos"]] == [f"Video {n}" for n in "ABCDE"]


def test_a_part_under_min_cell_is_left_out(make_world):
    explorers = by_name(make_world().run())["engaged_explorers"].body()
    assert [part["name"] for part in explorers["countries"]] == ["US"]  # 9 of 25 are in GB
    bold = by_name(make_world().run(min_cell=3))["engaged_explorers"].body()
    assert [part["name"] for part in bold["countries"]] == ["US", "GB"]


def test_a_cluster_under_min_cell_has_its_description_and_no_number(make_world):
    skimmers = by_name(make_world().run(min_cell=21))["skimmers"]
    assert set(skimmers.body()) == {"cluster", "title", "rule", "description"}
    assert [row["from"] for row in drafts.statements(skimmers, days=9, zone="UTC")] == [
        "clusters file: description"
    ]


def test_each_statement_says_what_it_was_measured_from(make_world):
    binge = by_name(make_world().run())["binge_watchers"]
    said = drafts.statements(binge, days=30, zone="Europe/Berlin")
    assert all(row["from"] and row["text"] for row in said)
    texts = [row["text"] for row in said]
    assert texts[1] == "30 viewers, 20.0% of all, measured over 30 days."
    assert texts[2] == "Videos watched by a viewer at the 10, 50 and 90 % points: 6, 6 and 6."
    assert "(Europe/Berlin)" in texts[5] and texts[7] == "Countries: US 67%, GB 33%."


def test_few_identified_viewers_are_not_told_and_none_are():
    import pandas as pd

    row = {"viewers": 40, "share": 0.1, "avg_videos": 1.0, "avg_percent_watched": 9.0,
           "avg_visits": 1.0, "identified_share": 0.1}  # fmt: skip
    for identified, told in ((0, 0), (4, None), (36, None), (15, 15), (40, 40)):
        row["identified_viewers"] = identified
        found = drafts._means(pd.Series(row), 10)
        assert found.get("identified_viewers") == told


FACTS = {
    "fields": {"name": "Skimmers", "type": "B2B"},
    "numbers": {
        "cluster": "skimmers", "title": "Skimmers", "rule": "video_count >= 2", "viewers": 200,
        "share": 0.2, "avg_percent_watched": 30.0, "videos_per_viewer": {"p10": 2, "p90": 9},
        "countries": [{"name": "US", "viewers": 120}], "top_videos": [{"title": "A", "viewers": 9}],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "value", "material"),
    [
        (("numbers", "viewers"), 215, False), (("numbers", "viewers"), 260, True),
        (("numbers", "share"), 0.23, False), (("numbers", "share"), 0.3, True),
        (("numbers", "avg_percent_watched"), 32.0, False),
        (("numbers", "avg_percent_watched"), 41.0, True),
        (("numbers", "videos_per_viewer", "p10"), 3, False),
        (("numbers", "videos_per_viewer", "p90"), 12, True),
        (("numbers", "rule"), "video_count >= 3", True), (("numbers", "title"), "Skippers", True),
        (("fields", "type"), "B2C", True), (("numbers", "countries", 0, "name"), "GB", True),
        (("numbers", "countries", 0, "viewers"), 60, False),
        (("numbers", "top_videos", 0, "title"), "B", True),
    ],
)  # fmt: skip
def test_a_draft_changes_materially_with_texts_and_with_more_than_a_tenth(place, value, material):
    new = copy.deepcopy(FACTS)
    *way, last = place
    at = new
    for step in way:
        at = at[step]
    at[last] = value
    assert drafts.differ(FACTS, new) is material
    assert drafts.differ(new, FACTS) is material


@given(st.integers(0, 10**6))
def test_the_same_facts_never_differ(viewers):
    facts = copy.deepcopy(FACTS)
    facts["numbers"]["viewers"] = viewers
    assert not drafts.differ(facts, copy.deepcopy(facts))
