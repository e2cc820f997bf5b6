"""The clusters file is read whole or refused by name and line."""

import json

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.core.errors import ParameterError
from helpers.store import rules


def file_with(when: str) -> str:
    return f"clusters:\n  - name: first\n    when: {json.dumps(when)}\n  - name: rest\n"


def cluster_of(case: str, **viewer) -> str:
    values = ", ".join(f"{json.dumps(value)}::DOUBLE AS {name}" for name, value in viewer.items())
    return duckdb.connect().execute(f"SELECT {case} FROM (SELECT {values})").fetchone()[0]


@pytest.mark.parametrize(
    ("videos", "percent", "expected"),
    [
        (5, 75, "binge_watchers"),
        (5, 74.999, "engaged_explorers"),
        (4, 100, "engaged_explorers"),
        (3, 50, "engaged_explorers"),
        (3, 49.999, "skimmers"),
        (2, 49.999, "skimmers"),
        (2, 50, "casual_viewers"),
        (1, 29.999, "bouncers"),
        (1, 30, "casual_viewers"),
        (1, 100, "casual_viewers"),
        (1, 0, "bouncers"),
    ],
)
def test_the_built_in_rules_are_those_of_the_mission(videos, percent, expected):
    case = rules.load().case_sql()
    assert cluster_of(case, video_count=videos, avg_percent_watched=percent) == expected


@given(st.integers(1, 60), st.floats(0, 100))
def test_every_viewer_is_in_exactly_one_cluster_by_the_first_rule_that_matches(videos, percent):
    if videos >= 5 and percent >= 75:
        expected = "binge_watchers"
    elif videos >= 3 and percent >= 50:
        expected = "engaged_explorers"
    elif videos == 1 and percent < 30:
        expected = "bouncers"
    elif videos >= 2 and percent < 50:
        expected = "skimmers"
    else:
        expected = "casual_viewers"
    case = rules.load().case_sql()
    assert cluster_of(case, video_count=videos, avg_percent_watched=percent) == expected


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("lower(country) = 'us'", "function 'LOWER(country)'"),
        ("video_count > (SELECT 1)", "sub-query"),
        ("video_count >= 1; DROP TABLE viewers", "one comparison"),
        ("fame > 3", "unknown column 'fame'"),
        ("video_counts > 3", "Did you mean 'video_count'?"),
        ("viewers.video_count > 3", "unknown column"),
        ("video_count + 1 > 3", "not allowed"),
        ("video_count IN (1, 2)", "not allowed"),
        ("country LIKE '%'", "not allowed"),
        ("read_text('/etc/passwd') = ''", "not allowed"),
        ("video_count >= 'many'", "video_count >= 'many'"),
        ("video_count", "no comparison"),
        ("1 = 1", "no comparison"),
        ("video_count >", "cannot be read"),
        ("CASE WHEN true THEN true END", "not allowed"),
        ("cluster = 'x'", "unknown column"),
    ],
)
def test_a_rule_that_is_more_than_comparisons_is_refused_by_name_and_line(when, said):
    with pytest.raises(ParameterError) as refused:
        rules.parse(file_with(when), source="mine.yml")
    assert "mine.yml, line 3: cluster first" in str(refused.value)
    assert said in str(refused.value)
    assert refused.value.exit_status == 2


@pytest.mark.parametrize(
    "when",
    [
        "identified AND NOT country = 'US'",
        "(video_count >= 2 OR active_days > 1) AND avg_session_percent < 12.5",
        "last_active >= '2026-01-01'",
        "country = 'it''s'",
        "email <> ''",
        "avg_percent_watched > -1",
    ],
)
def test_comparisons_with_and_or_not_numbers_and_text_pass(when):
    assert rules.parse(file_with(when)).clusters[0].when == when


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("clusters: []", "expected a list"),
        ("- a", "line 1"),
        ("clusters:\n  - name: A b\n", "line 2: cluster name"),
        ("clusters:\n  - name: ../up\n", "line 2: cluster name"),
        ("clusters:\n  - name: a\n    rule: x\n", "line 3: cluster a has an unknown key 'rule'"),
        ("clusters:\n  - name: a\n  - name: b\n", "only the last cluster has no when"),
        ("clusters:\n  - name: a\n    when: video_count > 1\n", "the last cluster takes the rest"),
        (
            "clusters:\n  - name: a\n    when: video_count > 1\n  - name: a\n",
            "line 4: cluster a: the name or title is there twice",
        ),
        ("clusters: [", "not YAML"),
        ("clusters: !!python/object:os.system x", "expected a list"),
        ("name_prefix: [1]\nclusters:\n  - name: a\n", "name_prefix"),
        ("clusters:\n  - name: a\n    title: [x]\n", "line 3: cluster a: title"),
    ],
)
def test_a_broken_file_is_refused_with_the_line(text, said):
    with pytest.raises(ParameterError, match="Clusters file") as refused:
        rules.parse(text)
    assert said in str(refused.value)


def test_a_missing_file_is_refused_by_its_path():
    with pytest.raises(ParameterError, match="nowhere.yml is not there"):
        rules.load("nowhere.yml")


def test_a_file_is_looked_for_in_the_run_folder_first(tmp_path):
    (tmp_path / "mine.yml").write_text("clusters:\n  - name: everyone\n")
    loaded = rules.load("mine.yml", folder=tmp_path)
    assert loaded.names == ["everyone"]
    assert loaded.case_sql() == "'everyone'"


def test_moving_a_threshold_changes_that_rule_alone():
    moved = rules.load().replace("bouncers", "avg_percent_watched", 40)
    assert ("bouncers", "avg_percent_watched", "<", 40.0) in moved.thresholds()
    unmoved = [
        row for row in rules.load().thresholds() if row[:2] != ("bouncers", "avg_percent_watched")
    ]
    assert set(unmoved) < set(moved.thresholds())
    assert moved.fingerprint != rules.load().fingerprint


def test_a_threshold_that_is_not_there_is_a_clear_error():
    with pytest.raises(ParameterError, match="compares no column 'fame'"):
        rules.load().replace("bouncers", "fame", 1)


@given(st.text(max_size=60))
def test_no_text_gets_past_the_reader_but_a_refusal_or_a_comparison(text):
    try:
        parsed = rules.parse(file_with(text))
    except ParameterError:
        return
    assert any(column in parsed.clusters[0].when for column in rules.COLUMNS)
