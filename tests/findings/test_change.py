"""What is new since the last run, against true counts; settings that differ are no change."""

from datetime import date

import pandas as pd
import pytest
from test_scoring import visitor
from viewing import session, tables, window

from helpers.findings import change, crm, scoring
from helpers.store import rules

RULES = rules.load()
JUNE = window()
MAY = window(date(2026, 5, 4), date(2026, 5, 31))
SETTINGS = {"rules": RULES.fingerprint, "window": 28, "media_ids": []}


def finished(key, videos, day=0, percent=0.95):
    return [session(key, f"v{n}", percent, day=day) for n in range(videos)]


def people_of(engine, period, chosen=RULES):
    return scoring.read_people(engine, chosen, period)


def two_runs(folder, may, june, visitors=(), *, min_cell=10, chosen=RULES, settings=SETTINGS,
             period=JUNE):  # fmt: skip
    """The section of June's run beside one of May, over the same store."""
    known = {row["visitor_key"] for row in may}
    then = tables(may, visitors=[row for row in visitors if row["visitor_key"] in known])
    path = folder / "viewers.parquet"
    then.connection.execute(f"COPY viewers TO '{path}'")
    crm.write_files(folder, people_of(then, MAY), RULES, MAY,
                    people_then=crm.read_people_then(then, None))  # fmt: skip
    previous = change.Previous("2026-06-01", MAY, RULES, path, folder / "crm_hubspot.csv", SETTINGS)
    inside = [row for row in june if row["received_at"].date() >= period.start]
    now = tables(inside, earlier=may, visitors=visitors, chosen=chosen)
    ours = settings | {"rules": chosen.fingerprint, "window": period.days}
    return change.compare_runs(
        now, chosen, period, previous=previous, people=people_of(now, period, chosen),
        people_then=crm.read_people_then(now, previous), settings=ours, min_cell=min_cell,
    )  # fmt: skip


def test_joined_left_and_moved_are_told_as_they_are(tmp_path):
    stay = [row for n in range(870) for row in finished(f"s{n}", 1, day=-9)]
    move = [row for n in range(7) for row in finished(f"m{n}", 1, day=-9)]
    moved = [row for n in range(7) for row in finished(f"m{n}", 6)]
    join = [row for n in range(207) for row in finished(f"j{n}", 1)]
    stayed = [{**row, "received_at": row["received_at"] + pd.Timedelta(days=9)} for row in stay]
    found = two_runs(tmp_path, [*stay, *move], [*stayed, *moved, *join])
    assert found.parts["moves"].finding == (
        "207 viewers joined, 0 left; of 877 in both runs fewer than 10 moved to another cluster."
    )
    assert found.parts["moves"].table.empty
    totals = found.parts["news"].parts["totals"].table.set_index("kind")
    assert totals.loc["viewers", ["new", "gone", "now"]].tolist() == [207, 0, 1084]
    assert found.parts["news"].table.set_index("cluster")["viewers"].tolist() == [0, 0, 0, 0, 205]
    everybody = [row for n in range(870) for row in finished(f"s{n}", 6)]
    found = two_runs(tmp_path, [*stay, *move], everybody)
    assert found.parts["moves"].finding == (
        "0 viewers joined, 7 left; of 870 in both runs 870 moved to another cluster."
    )
    assert found.parts["moves"].table.iloc[0].tolist() == ["casual_viewers", "binge_watchers", 870]
    found = two_runs(tmp_path, [*stay, *move], [*stayed, *join])
    assert found.parts["moves"].finding == (  # as if some had, or sizes would tell who came
        "207 viewers joined, 7 left; of 870 in both runs fewer than 10 moved to another cluster."
    )


def test_news_are_people_by_e_mail_calls_by_list_and_companies(tmp_path):
    visitors = [visitor("old", "old@acme.example"), visitor("old2", "OLD@acme.example"),
                visitor("new", "new@beta.example"), visitor("free", "x@gmail.com"),
                visitor("back", "back@away.example"), visitor("kept", "kept@near.example"),
                visitor("gone", "gone@gone.example")]  # fmt: skip
    may = [*finished("old", 1, day=-5), *finished("back", 1, day=-26), *finished("kept", 1, day=-5)]
    may += finished("gone", 1, day=-20)
    june = [*finished("old2", 1), *finished("new", 1, day=25), *finished("free", 1)]
    june += [*finished("back", 1, day=5), *finished("kept", 1, day=24)]
    call = rules.parse("scores: {call_score: 1}\nclusters:\n  - name: all\n    title: All\n")
    found = two_runs(tmp_path, may, june, visitors, min_cell=1, chosen=call)
    totals = found.parts["news"].parts["totals"].table.set_index("kind")
    assert totals.loc["viewers", ["new", "gone", "now"]].tolist() == [3, 2, 5]
    assert totals.loc["people", ["new", "gone", "now"]].tolist() == [2, 1, 5]
    assert totals.loc["to call", ["new", "now"]].tolist() == [2, 2]  # new and kept, in 14 days
    assert totals.loc["companies", ["new", "now"]].tolist() == [2, 4]
    assert found.parts["news"].finding == (
        "New since run 2026-06-01: 3 viewers, 2 identified people, 2 people to call, 2 companies; "
        "gone: 2 viewers."
    )
    (row,) = found.parts["news"].table.to_dict("records")
    assert row == {"cluster": "all", "viewers": 3, "people": 2, "to_call": 2, "companies": 2}


def test_a_company_is_new_or_back_after_thirty_days(tmp_path):
    visitors = [visitor(key, f"{key}@{key}.example") for key in ("new", "back", "near", "quiet")]
    may = [
        *finished("back", 1, day=-26),
        *finished("near", 1, day=-2),
        *finished("quiet", 1, day=-9),
    ]
    then = tables(may, visitors=visitors)
    then.connection.execute(f"COPY viewers TO '{tmp_path}/viewers.parquet'")
    june = [*finished("new", 1), *finished("back", 1, day=4), *finished("near", 1, day=27)]
    now = tables([*may, *june], visitors=visitors)
    previous = change.Previous("r", MAY, RULES, tmp_path / "viewers.parquet", None, SETTINGS)
    found = change.find_company_news(now, people_of(now, JUNE)["domain"], previous)
    assert found.to_dict() == {"new.example": "new", "back.example": "back"}


def test_a_first_run_has_a_trend_and_nothing_new():
    engine = tables([*finished("a", 2, day=0), *finished("b", 1, day=27)],
                    visitors=[visitor("a", "a@x.example")])  # fmt: skip
    found = change.compare_runs(
        engine, RULES, JUNE, previous=None, people=people_of(engine, JUNE),
        people_then=crm.read_people_then(engine, None), settings=SETTINGS, min_cell=1,
    )  # fmt: skip
    assert list(found.parts) == ["trend"]
    assert "previous" not in found.finding


@pytest.mark.parametrize(
    ("change_of", "told"),
    [({"chosen": RULES.replace("bouncers", "avg_percent_watched", 40)}, ["rules"]),
     ({"settings": {"media_ids": ["v0", "v1"]}}, ["media_ids"]),
     ({"period": window(date(2026, 5, 1), JUNE.end)}, ["window"]), ({}, [])],
)  # fmt: skip
def test_what_differs_between_runs_is_named_and_no_change_of_viewers(tmp_path, change_of, told):
    may = [row for n in range(40) for row in finished(f"p{n}", 1, day=-n % 20 - 2)]
    june = [row for n in range(40) for row in finished(f"q{n}", 1, day=n % 20)]
    found = two_runs(tmp_path, may, june, **change_of)
    assert found.parts["causes"].table["setting"].tolist() == told
    assert ("Clusters are not compared" in found.finding) == (told not in ([], ["window"]))
    assert ("rules differ" in found.parts["moves"].finding) == (told == ["rules"])


def test_the_trend_counts_viewers_and_people_once_a_week_to_the_end_of_the_window():
    rows = [*finished("a", 2, day=27), *finished("a2", 1, day=26), *finished("b", 1, day=20)]
    rows += finished("a", 1, day=6)
    visitors = [visitor("a", "ann@x.example"), visitor("a2", "Ann@x.example")]
    engine = tables(rows, visitors=visitors)
    found = change.count_by_period(engine, JUNE, 1, min_cell=1)
    assert found.table.to_numpy().tolist() == [
        ["2026-06-01", 1, 1], ["2026-06-08", 0, 0], ["2026-06-15", 1, 0], ["2026-06-22", 2, 1],
    ]  # fmt: skip


def test_a_long_trend_is_by_month_without_those_that_the_window_cuts():
    rows = [row for month in range(14) for row in finished(f"p{month}", 1, day=-30 * month)]
    engine = tables(rows)
    cut = window(date(2025, 5, 20), date(2026, 6, 28))
    found = change.count_by_period(engine, cut, 0, min_cell=1)
    assert found.table["period"].tolist()[0] == "2025-06"
    assert found.table["period"].tolist()[-1] == "2026-05"
    assert found.table["viewers"].sum() == 12
