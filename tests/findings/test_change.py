"""What is new since the last run, against true counts; settings that differ are no change."""

from datetime import date

import pytest
from viewing import finished, tables, visitor, window

from helpers.findings import change, crm, scoring
from helpers.store import rules

RULES = rules.load()
CASUAL_TO_BINGE = "casual_viewers", "binge_watchers"
JUNE = window()
MAY = window(date(2026, 5, 4), date(2026, 5, 31))
SETTINGS = {"rules": RULES.fingerprint, "window": 28, "media_ids": []}


def crowd(prefix, viewers, videos=1, day=0):
    return [row for n in range(viewers) for row in finished(f"{prefix}{n}", videos, day)]


def run_before(folder, sessions, visitors=()):
    """The run of May, and the engine over its sessions."""
    known = {row["visitor_key"] for row in sessions}
    engine = tables(sessions, visitors=[row for row in visitors if row["visitor_key"] in known])
    path = folder / "viewers.parquet"
    engine.connection.execute(f"COPY viewers TO '{path}'")
    files = path, folder / "crm_hubspot.csv"
    return change.Previous("2026-06-01", MAY, RULES, *files, SETTINGS), engine


def compare(engine, previous=None, *, min_cell=10, chosen=RULES, settings=SETTINGS, period=JUNE):
    people = scoring.read_people(engine, chosen, period)
    ours = settings | {"rules": chosen.fingerprint, "window": period.days}
    given = {"previous": previous, "people": people, "settings": ours}
    return change.compare_runs(engine, chosen, period, **given, min_cell=min_cell)


def two_runs(folder, may, june, visitors=(), *, chosen=RULES, period=JUNE, **given):
    """The section of June's run beside one of May, over the same store."""
    previous, engine = run_before(folder, may, visitors)
    people = scoring.read_people(engine, RULES, MAY)
    then = change.read_people_then(engine, None)
    crm.write_files(folder, people, RULES, MAY, people_then=then)
    inside = [row for row in june if row["received_at"].date() >= period.start]
    now = tables(inside, earlier=may, visitors=visitors, chosen=chosen)
    return compare(now, previous, chosen=chosen, period=period, **given)


def test_moves_between_two_clusters_are_not_counted_where_a_few_went_the_other_way(tmp_path):
    may = crowd("s", 40, day=-9) + crowd("b", 30, videos=6, day=-9) + crowd("m", 12, day=-9)
    june = crowd("s", 40) + crowd("b", 30, videos=6) + crowd("m", 12, videos=6)
    moves = two_runs(tmp_path, may, june).parts["moves"]
    assert moves.table.values.tolist() == [["casual_viewers", "binge_watchers", 10]]
    one = crowd("r", 1, videos=6, day=-9), crowd("r", 1)
    moves = two_runs(tmp_path, may + one[0], june + one[1]).parts["moves"]
    assert moves.table.empty  # sizes: 11 more went there than back
    assert moves.finding.endswith("the sizes of so few clusters would tell hidden ones.")


def test_joined_left_and_moved_are_told_as_they_are(tmp_path):
    may = crowd("s", 870, day=-9) + crowd("m", 4, day=-9)
    stayed, moved, joined = crowd("s", 870), crowd("m", 4, videos=6), crowd("j", 207)
    news = two_runs(tmp_path, may, stayed + moved + joined).parts["news"]
    totals = news.parts["totals"].table.set_index("kind")
    assert totals.loc["viewers", ["new", "gone", "now"]].tolist() == [207, 0, 1081]
    assert news.table.set_index("cluster")["viewers"].tolist() == [0, 0, 0, 0, 205]
    few = "of {} in both runs fewer than 10 moved to another cluster."
    hidden = "moves are not counted, for the sizes of so few clusters would tell hidden ones."
    twelve = crowd("l", 12, videos=6, day=-9), crowd("l", 12, videos=6)
    all_moved = "of 870 in both runs 870 moved to another cluster."
    skimmers = [row | {"percent_viewed": 0.1} for row in crowd("k", 10, videos=2, day=-9)]
    for before, june, came, left, said, moves in (
        (may, stayed + moved + joined, 207, 0, hidden, []),  # by the sizes 4 or 6, not 5
        (may, crowd("s", 870, videos=6), 0, 4, all_moved, [[*CASUAL_TO_BINGE, 870]]),
        (may, stayed + joined, 207, 4, hidden, []),  # nobody
        (may + skimmers[:2], stayed + moved, 0, 1, hidden, []),  # the third has one viewer
        (may + skimmers + twelve[0], stayed + moved + twelve[1], 0, 10, few.format(886), []),
    ):
        found = two_runs(tmp_path, before, june).parts["moves"]
        assert found.finding == f"{came} viewer{'s' * (came != 1)} joined, {left} left; {said}"
        assert found.table.to_numpy().tolist() == moves


@pytest.mark.parametrize(("moving", "is_shown"), [(5, True), (6, False)])
def test_new_viewers_by_cluster_are_hidden_where_they_would_tell_few_moves(
    tmp_path, moving, is_shown
):
    # Nobody new is in the cluster that they left: its sizes tell that 6 more moved out of it than
    # into it, of fewer than 10 in all, so 6 or 7 did.
    may = crowd("s", 90, day=-9) + crowd("m", moving, day=-9) + crowd("b", 30, videos=6, day=-9)
    june = crowd("s", 90) + crowd("m", moving, videos=6) + crowd("b", 50, videos=6)
    assert ("viewers" in two_runs(tmp_path, may, june).parts["news"].table) == is_shown


def test_news_are_people_by_e_mail_calls_by_list_and_companies(tmp_path):
    visitors = [visitor(key) for key in ("new", "back", "kept", "gone")]
    visitors += [visitor("old", "old@acme.example"), visitor("old2", "OLD@acme.example")]
    visitors += [visitor("free", "x@gmail.com")]
    may = finished("old", 1, -5) + finished("back", 1, -26) + finished("kept", 1, -5)
    may += finished("gone", 1, -20)
    june = finished("old2", 1) + finished("new", 1, 25) + finished("free", 1)
    june += finished("back", 1, 5) + finished("kept", 1, 24)
    call = rules.parse("scores: {call_score: 1}\nclusters:\n  - name: all\n    title: All\n")
    news = two_runs(tmp_path, may, june, visitors, min_cell=1, chosen=call).parts["news"]
    totals = news.parts["totals"].table.set_index("kind")
    assert totals.loc[["viewers", "people"]].values.tolist() == [[3, 2, 5], [2, 1, 5]]
    assert totals.loc["to call", ["new", "now"]].tolist() == [2, 2]  # new and kept, in 14 days
    assert totals.loc["companies", ["new", "now"]].tolist() == [2, 4]
    assert news.finding == (
        "New since run 2026-06-01: 3 viewers, 2 identified people, 2 people to call, 2 companies; "
        "gone: 2 viewers."
    )
    assert news.table.values.tolist() == [["all", 3, 2, 2, 2]]


def test_a_company_is_new_or_back_after_thirty_days(tmp_path):
    visitors = [visitor(key) for key in ("new", "back", "near", "quiet")]
    visitors += [visitor("near2", "near@near.example")]  # a second cookie of the same person
    may = finished("back", 1, -26) + finished("near", 1, -2) + finished("quiet", 1, -9)
    may += finished("near2", 1, -26)
    previous, _ = run_before(tmp_path, may, visitors)
    june = finished("new", 1) + finished("back", 1, 4) + finished("near", 1, 27)
    now = tables(may + june, visitors=visitors)
    domains = scoring.read_people(now, RULES, JUNE)["domain"]
    found = change.find_company_news(now, domains, previous)
    assert found.to_dict() == {"new.example": "new", "back.example": "back"}


@pytest.mark.parametrize(
    ("given", "told", "others"),
    [
        ({"chosen": RULES.replace("bouncers", "avg_percent_watched", 40)}, ["rules"], ""),
        ({"settings": {"media_ids": ["v0", "v1"]}}, ["media_ids"], " (other media ids)"),
        ({"period": window(date(2026, 5, 1), JUNE.end)}, ["window"], " (other window length)"),
        ({}, [], ""),
    ],
)
def test_what_differs_between_runs_is_named_and_no_change_of_viewers(tmp_path, given, told, others):
    may = [row for n in range(40) for row in finished(f"p{n}", 1, day=-n % 20 - 2)]
    june = [row for n in range(40) for row in finished(f"q{n}", 1, day=n % 20)]
    found = two_runs(tmp_path, may, june, **given)
    assert found.parts["causes"].table["setting"].tolist() == told
    assert ("Clusters are not compared" in found.finding) == (told not in ([], ["window"]))
    assert found.parts["news"].finding.startswith(f"New since run 2026-06-01{others}: ")
    assert ("rules differ" in found.parts["moves"].finding) == (told == ["rules"])


def test_a_first_run_has_a_trend_alone():
    assert list(compare(tables(crowd("s", 40))).parts) == ["trend"]


def test_the_trend_counts_viewers_and_people_once_a_week_to_the_end_of_the_window():
    rows = finished("a", 2, 27) + finished("a2", 1, 26) + finished("b", 1, 20) + finished("a", 1, 6)
    visitors = [visitor("a", "ann@x.example"), visitor("a2", "Ann@x.example")]
    found = change.count_by_period(tables(rows, visitors=visitors), JUNE, 1, min_cell=1).table
    assert found["period"].tolist() == ["2026-06-01", "2026-06-08", "2026-06-15", "2026-06-22"]
    assert found[["viewers", "people"]].values.tolist() == [[1, 1], [0, 0], [1, 0], [2, 1]]
    few = change.count_by_period(tables(rows, visitors=visitors), JUNE, 1, min_cell=10)
    assert few.table.empty and few.finding == "There are too few viewers to show a trend."


def test_a_long_trend_is_by_month_without_those_that_the_window_cuts():
    engine = tables([row for n in range(14) for row in finished(f"p{n}", 1, day=-30 * n)])
    cut = window(date(2025, 5, 20), date(2026, 6, 28))
    months = change.count_by_period(engine, cut, 0, min_cell=1).table
    assert months["period"].iloc[[0, -1]].tolist() == ["2025-06", "2026-05"]
    assert months["viewers"].sum() == 12
