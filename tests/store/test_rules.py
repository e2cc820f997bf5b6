"""The clusters file is read whole or refused by name and line."""

import json

import duckdb
import pytest
from hypothesis import given, strategies as st

from helpers.core.errors import ParameterError
from helpers.store import conditions, rules
from helpers.store.rules import PersonaFields


def file_with(when: str) -> str:
    return f"clusters:\n  - name: first\n    when: {json.dumps(when)}\n  - name: rest\n"


def cluster_of(case: str, **viewer) -> str:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        named = ", ".join(f"${name} AS {name}" for name in viewer)
        return connection.execute(f"SELECT {case} FROM (SELECT {named})", viewer).fetchall()[0][0]


@pytest.mark.parametrize(
    ("expected", "viewers"),
    [
        ("binge_watchers", [(5, 75)]),
        ("engaged_explorers", [(5, 74.999), (4, 100), (3, 50), (4, 49.99999999999999)]),
        ("bouncers", [(1, 29.999), (1, 29.999999999)]),  # nine decimals are more than noise
        ("skimmers", [(2, 49.999)]),
        ("casual_viewers", [(2, 50), (1, 30), (1, 29.9999999999)]),
    ],
)
def test_the_built_in_rules_are_those_of_the_mission(expected, viewers):
    case = rules.load().case_sql()
    for videos, percent in viewers:
        assert cluster_of(case, video_count=videos, avg_percent_watched=percent) == expected


REFUSED = {
    "is no column. Allowed": "video_counts > 3 | lower(country) = 'us' | viewers.video_count > 3"
    " | video_count > (SELECT 1) | country LIKE '%'",
    "is not allowed": "video_count >= 1; DROP TABLE viewers | video_count + 1 > 3"
    ' | video_count > session_count / 2 | "video_count" > 1',
    "says who a viewer is": "email = 'x' | NOT name IS NULL",
    "is no comparison": "video_count IN (session_count) | video_count * session_count > 3 | 1 = 1"
    " | 2 * 3 > 5 | (video_count IS NULL) IS NULL | country IS TRUE | video_count >"
    " | country = 'x' AND 'video_count > 3' | identified OR () | video_count > 1e400",
    "video_count >= 'many'": "video_count >= 'many' | identified IS NULL OR video_count >= 'many'"
    " | identified IS NOT NULL OR video_count >= 'many'",
    "syntax error": "video_count > 1) OR (video_count > 2 | video_count > 1 identified",
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_rule_that_is_more_than_comparisons_is_refused_by_name_and_line(said):
    for when in REFUSED[said].split(" | "):
        with pytest.raises(ParameterError) as refused:
            rules.parse(file_with(when), source="mine.yml")
        assert "mine.yml, line 3: clusters: first: when" in str(refused.value)
        assert said in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gaols": ["x"]}, "unknown key. Did you mean 'goals'?"), ({"name": "Z"}, "unknown key"),
        ({"type": "B2X"}, "type: Input should be 'B2B' or 'B2C'"), ({"goals": "x"}, "goals: Input"),
        ({"mcda_weights": {"price": 9}}, "mcda_weights: price: Input should be less than or equal"),
        ({"mcda_weights": {"speed": 1}}, "mcda_weights: speed: Input should be 'price', "),
    ],
)  # fmt: skip
def test_a_wrong_persona_field_is_refused_by_cluster_line_and_name(fields, said):
    (name,) = fields
    field = f"{name}: {json.dumps(fields[name])}"
    text = f"{file_with('video_count > 3')}    persona:\n      {field}\n"
    with pytest.raises(ParameterError) as refused:
        rules.parse(text, source="mine.yml")
    assert "mine.yml, line 6: clusters: rest: persona: " in str(refused.value)
    assert said in str(refused.value) and name in str(refused.value)


@pytest.mark.parametrize("when", ["1" * 50_000, f"video_count > {'1' * 50_000} x", "'" * 50_000])
def test_a_rule_of_any_length_is_read_to_its_end(when):
    with pytest.raises(ParameterError):
        rules.parse(file_with(when))


@pytest.mark.parametrize(
    ("when", "viewer", "holds"),
    [
        ("identified AND NOT country = 'US'", {"identified": True, "country": "DE"}, True),
        ("(video_count >= 2 OR active_days > 1) AND avg_session_percent < 12.5",
         {"video_count": 1, "active_days": 2, "avg_session_percent": 12.5}, False),
        ("last_active >= '2026-01-01'", {"last_active": "2026-01-01 00:00:00+00"}, True),
        ("country = 'it''s'", {"country": "it's"}, True),
        ("top_video = 'a , b ( c )'", {"top_video": "a , b ( c )"}, True),
        ("avg_percent_watched > -1", {"avg_percent_watched": 0.0}, True),
        ("session_count >= 2 * video_count", {"session_count": 6, "video_count": 3}, True),
        ("session_count >= 2 * video_count", {"session_count": 5, "video_count": 3}, False),
        ("avg_percent_watched > avg_session_percent * 1.5",
         {"avg_percent_watched": 60.00000000001, "avg_session_percent": 40.0}, False),
        ("country IN ('US', 'CA') AND video_count NOT IN (1, 2)",
         {"country": "CA", "video_count": 3}, True),
        ("avg_percent_watched BETWEEN 50 AND 75", {"avg_percent_watched": 49.99999999999999}, True),
        ("country IS NULL OR country IS NOT NULL", {"country": None}, True),
        ("5 <= VIDEO_COUNT", {"video_count": 5}, True),
        ("minutes_watched < 10 -- short", {"minutes_watched": 9.5}, True),
    ],
)  # fmt: skip
def test_what_the_contract_allows_passes_and_means_what_it_says(when, viewer, holds):
    chosen = rules.parse(file_with(when))
    assert cluster_of(chosen.case_sql(), **viewer) == ("first" if holds else "rest")
    again = rules.parse(file_with(chosen.clusters[0].when))
    assert again.fingerprint == chosen.fingerprint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("clusters: []", "clusters: "),
        ("- a", "line 1"),
        ("clusters:\n  - name: A b\n", "line 2: clusters: "),
        ("clusters:\n  - name: a\n    rule: x\n", "line 3: clusters: a: rule: unknown key. It has"),
        ("clusters:\n  - name: a\n  - name: b\n", "line 2: clusters: a: the last cluster takes"),
        ("clusters:\n  - name: a\n    when: video_count > 1\n", "line 2: clusters: a: the last"),
        ("clusters:\n  - {name: a, when: video_count > 1}\n  - name: a\n", "line 3: clusters: a:"),
        ("clusters: [", "not YAML"),
        ("# ask jane.doe@acme.example\nclusters:\n  - name: a\n", "line 1: Here is an e-mail"),
        ("clusters:\n  - name: a\n    title: [x]\n", "line 3: clusters: a: title"),
        (f"name_prefix: {'P' * 40}\nclusters:\n  - {{name: a, title: {'T' * 60}}}\n", "line 3: "),
    ],
)
def test_a_broken_file_is_refused_with_the_line(text, said):
    with pytest.raises(ParameterError, match="Clusters file") as refused:
        rules.parse(text)
    assert said in str(refused.value)


def test_a_title_that_is_left_out_is_made_of_the_name():
    named = rules.parse("clusters:\n  - {name: a, when: video_count > 3}\n  - name: no_fans\n")
    assert named.titles == {"a": "Cluster A", "no_fans": "No Fans"}


def test_a_file_is_looked_for_in_the_run_folder_first_and_else_refused_by_its_path(tmp_path):
    with pytest.raises(ParameterError, match="nowhere.yml is not there"):
        rules.load("nowhere.yml", folder=tmp_path)
    (tmp_path / "mine.yml").write_text("clusters:\n  - name: everyone\n")
    assert rules.load("mine.yml", folder=tmp_path).case_sql() == "'everyone'"


def test_moving_a_threshold_changes_that_rule_alone():
    built_in, place = rules.load(), ("bouncers", "avg_percent_watched")
    moved = built_in.replace(*place, 40)
    assert {*moved.thresholds()} ^ {*built_in.thresholds()} == {
        (*place, "<", 30),
        (*place, "<", 40),
    }
    assert moved.fingerprint != built_in.fingerprint
    with pytest.raises(ParameterError, match="compares no column 'fame'"):
        moved.replace("bouncers", "fame", 1)


def test_every_way_to_write_a_threshold_can_be_moved():
    ranged = rules.parse(file_with("avg_percent_watched BETWEEN 20 AND 30 AND -1 < video_count"))
    thresholds = [("avg_percent_watched", ">=", 20.0), ("avg_percent_watched", "<=", 30.0)]
    thresholds += [("video_count", ">", -1.0)]
    assert ranged.thresholds() == [("first", *threshold) for threshold in thresholds]
    moved = ranged.replace("first", "avg_percent_watched", 35.5, was=30)
    moved = moved.replace("first", "video_count", 12345678)
    assert [row[3] for row in moved.thresholds()] == [20.0, 35.5, 12345678.0]


def test_rules_that_were_tried_are_saved_and_load_to_the_same_rules(tmp_path):
    tried = rules.load().replace("bouncers", "avg_percent_watched", 40)
    persona = {"persona": PersonaFields(type="B2C", goals=["é", "it's"])}
    clusters = [tried.clusters[0].model_copy(update=persona), *tried.clusters[1:]]
    tried = tried.model_copy(update={"clusters": clusters, "name_prefix": "Nord · "})
    tried.save(tmp_path / "my.yml")
    assert rules.load(tmp_path / "my.yml").model_dump() == tried.model_dump()


def test_a_percent_compared_with_a_share_is_warned_of():
    (warned,) = rules.parse(file_with("avg_percent_watched >= 0.75")).warnings()
    assert "first" in warned and "0.75" in warned and "0 to 100" in warned
    assert rules.load().warnings() == []


@given(st.text(max_size=60))
def test_no_text_gets_past_the_reader_but_a_refusal_or_a_comparison(text):
    try:
        parsed = rules.parse(file_with(text))
    except ParameterError:
        return
    assert any(column in parsed.clusters[0].when for column in conditions.COLUMNS)


# ---- scores: what is left out is as built in, what is wrong is told by line

CLUSTERS = "clusters:\n  - name: a\n    when: video_count > 3\n  - name: b\n"


def scores(text):
    return rules.parse(f"scores:\n{text}{CLUSTERS}").scores


def test_what_a_file_leaves_out_is_as_in_the_built_in_one():
    built_in = rules.load().scores
    assert sum(built_in.weights.model_dump().values()) == 100
    assert rules.parse(CLUSTERS).scores == built_in
    own = scores("  call_days: 30\n  buying_words: [offer]\n")
    assert (own.call_days, own.buying_words) == (30, ("offer",))
    assert own.weights == built_in.weights


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("  call_score: 120\n", 2, "call_score"),
        ("  half_life_days: .inf\n", 2, "half_life_days"),
        ("  call_days: 0\n", 2, "call_days"),
        ("  call_dayz: 3\n", 2, "call_dayz: unknown key. Did you mean .call_days"),
        ("  weights: {recency: 60, depth: 20, visits: 10, clicks: 25, content: 15}\n", 2,
         "add up to 130"),
        ("  weights:\n    recency: 100\n    depht: 0\n", 4, "weights: depht: unknown key"),
        ("  buying_words:\n    - demo\n    - 3\n", 4, "buying_words"),
        ("  - demo\n", 1, "scores: Input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused_by_line(text, line, told):
    with pytest.raises(ParameterError, match=f"line {line}: .*{told}"):
        scores(text)
