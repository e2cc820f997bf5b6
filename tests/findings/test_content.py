"""What stands out, held against data of known tastes and counting by hand."""

import numpy as np
import pandas as pd
import pytest
from choosing import choose, engine_of
from scipy.stats import binom
from viewing import session, tables

from helpers.findings import content, preference
from helpers.store import rules

RULES = rules.load()


def compare(engine, min_cell=10):
    return content.compare_content(engine, RULES, min_cell=min_cell)


def stands_out(seed, **tastes):
    """The part of compare_content that is the test, alone."""
    engine = engine_of(*choose(np.random.default_rng(seed), **tastes))
    viewers, chosen = content.count_choices(engine)
    clear = preference.pick_clear(preference.compare_choices(chosen, viewers, 10))
    return set(zip(clear["cluster"], clear["value"], strict=True))


@pytest.mark.parametrize(
    "tastes",
    [{}, {"videos": 10}, {"campaigns": "first"}, {"campaigns": "only", "popularity": 0}],
    ids=["popular videos", "few videos", "campaigns first", "campaigns alone"],
)
def test_no_video_stands_out_where_all_clusters_have_the_same_taste(tastes):
    alarms = sum(bool(stands_out(seed, **tastes)) for seed in range(12))
    assert alarms <= 2  # more have a chance of 2 % at a rate of 5 %


@pytest.mark.parametrize("favourite", [("engaged_explorers", 3, 3), ("binge_watchers", 10, 5)])
def test_a_planted_taste_is_found_and_no_other(favourite):
    planted = {(favourite[0], f"v{favourite[1]}")}
    assert sum(stands_out(seed, favourite=favourite) == planted for seed in range(6)) >= 5


def test_a_cluster_alone_with_its_number_of_videos_is_compared_with_all():
    cluster, count, day, watched = choose(np.random.default_rng(1), favourite=("bouncers", 3, 6))
    others = cluster != 4  # without casual viewers only bouncers watch one video
    found = compare(engine_of(cluster[others], count[others], day[others], watched[others])).table
    assert found[["cluster", "media_id"]].values.tolist() == [["bouncers", "v3"]]


def test_one_day_of_one_campaign_counts_once():
    cluster, count, day, watched = choose(np.random.default_rng(2), viewers=2000, popularity=0)
    came = np.flatnonzero((cluster == 1) & (count == 3))[:40]
    watched[came] = False
    watched[np.ix_(came, [7, 8, 9])] = True
    day[came] = 5
    assert compare(engine_of(cluster, count, day, watched)).table.empty
    day[came] = np.arange(len(came))
    named = compare(engine_of(cluster, count, day, watched)).table
    assert set(named["cluster"]) == {"engaged_explorers"}
    assert set(named["media_id"]) <= {"v7", "v8", "v9"}


def test_chances_add_up_to_what_was_watched():
    viewers = pd.DataFrame({"number": ["2", "5"], "viewers": [40, 30], "choices": [80, 150]})
    chosen = pd.DataFrame({"value": list("abcdefg"), "viewers": [60, 50, 40, 30, 25, 15, 10]})
    chance = preference._fit_chances(viewers, chosen)
    assert chance.sum(axis=1).tolist() == pytest.approx([2, 5], rel=1e-3)
    assert ([40, 30] @ chance.to_numpy()).tolist() == pytest.approx(chosen["viewers"], rel=1e-3)
    # Who watches more gets round to the popular ones too: their share of what is watched falls.
    assert chance.loc["5", "a"] / 5 < chance.loc["2", "a"] / 2


def test_counts_are_judged_by_a_binomial_distribution_of_their_total():
    frame = pd.DataFrame({"count": [12, 3], "total": 20, "expected": 5.0, "variance": 3.75})
    found = preference.judge_counts(frame)
    # Of the chance of exactly as many, a half: mid-p.
    tails = binom.sf([12, 3], 20, 0.25) + binom.pmf([12, 3], 20, 0.25) / 2
    assert found["q_value"].tolist() == pytest.approx([2 * tails[0], tails[1]])
    assert found["ratio"].tolist() == [2.4, 0.6]
    # Each end at 95 %, two together 2.5 %, lies between the two ends of exact counting.
    low, high = found["low"][0] * 0.25, found["high"][1] * 0.25
    assert binom.sf(12, 20, low) < 0.025 < binom.sf(11, 20, low)
    assert binom.cdf(2, 20, high) < 0.025 < binom.cdf(3, 20, high)
    both = preference.judge_counts(frame, sides=2)
    assert both["q_value"].tolist() == pytest.approx([4 * tails[0], 2 * (1 - tails[1])])
    low = both["low"][0] * 0.25  # both ends at 95 %, two together 1.25 %
    assert binom.sf(12, 20, low) < 0.0125 < binom.sf(11, 20, low)


def test_a_variance_above_the_binomial_counts_as_fewer_viewers():
    frame = pd.DataFrame({"count": [24], "total": 40, "expected": 10.0, "variance": 15.0})
    alike = pd.DataFrame({"count": [12], "total": 20, "expected": 5.0, "variance": 3.75})
    columns = ["ratio", "low", "high", "q_value"]
    both = [preference.judge_counts(rows)[columns].iloc[0].tolist() for rows in (frame, alike)]
    assert both[0] == pytest.approx(both[1])


def test_the_variance_is_that_between_viewers_or_between_periods_where_it_is_larger(monkeypatch):
    given, judge = [], preference.judge_counts
    monkeypatch.setattr(preference, "judge_counts", lambda rows: given.append(rows) or judge(rows))
    cells = pd.MultiIndex.from_product([["a", "b"], [0, 1]], names=["cluster", "period"])
    seen = {"x": [16, 8, 8, 12], "y": [2, 10, 9, 4], "z": [2, 2, 9, 9], "w": [0, 0, 4, 5]}
    chosen = pd.DataFrame(seen, cells).rename_axis(columns="value").stack().rename("viewers")
    chosen = chosen.reset_index().assign(stratum="one")
    viewers = pd.DataFrame({"viewers": [20, 20, 30, 30]}, cells).reset_index()
    viewers = viewers.assign(stratum="one", number="1", choices=viewers["viewers"])
    found = preference.compare_choices(chosen, viewers, 22)
    assert set(found["value"]) == {"x", "y", "z"}  # w has nine viewers
    judged = given[0].set_index(["cluster", "value"])
    # x: a has 6.4 and 0 beyond 8.8 and its part of what all have, z as many in either period.
    assert judged.loc[("a", "x"), "expected"] == pytest.approx(17.6)
    assert judged.loc[("b", "x"), "variance"] == pytest.approx(2 * (3.2**2 + 3.2**2))
    assert judged.loc[("a", "x"), "variance"] == pytest.approx(40.96 * 17.6 / 24)
    assert judged.loc[("a", "z"), "variance"] == pytest.approx(0.22 * 0.78 * 40 * 60 / 100)
    few = preference.compare_choices(chosen, viewers, 41)  # a has 40 viewers
    assert few[["cluster", "value"]].values.tolist() == [["b", "x"]]


def test_limits_are_those_of_the_preference_which_falls_with_how_much_a_cluster_watches():
    viewers, chosen = content.count_choices(engine_of(*choose(np.random.default_rng(1))))
    found = preference.compare_choices(chosen, viewers, 10).query("count > 0")
    share = viewers.groupby("cluster")["choices"].sum() / viewers["choices"].sum()
    value = found["count"] / found["total"] / found["cluster"].map(share)
    assert ((found["low"] < value) & (value < found["high"])).all()


def test_what_stands_out_is_above_one_in_count_and_limit_and_told_rounded_outwards(monkeypatch):
    rows = [["a", 1.5, 1.24, 1.81, 0.0004], ["b", 0.9, 1.1, 1.3, 0.01], ["c", 1.2, 0.9, 1.3, 0.01]]
    columns = ["value", "ratio", "low", "high", "q_value"]
    tested = pd.DataFrame(rows, columns=columns).assign(cluster="k")
    monkeypatch.setattr(preference, "compare_choices", lambda *_: tested)
    shown = tested[["value", "cluster"]].assign(viewers=20, preference=1.5)
    found = preference.find_preferences(None, None, shown, 10)
    assert found[["value", "low", "high", "q_value"]].values.tolist() == [["a", 1.2, 1.9, 0.001]]


def test_the_window_is_cut_into_at_most_sixty_periods():
    for last, days in ((59, 1), (60, 2)):
        assert preference.choose_period(tables([session("a"), session("b", day=last)])) == days


def shares_of(counts, sizes, choices=None, **given):
    """What is shown of counts by (value, cluster)."""
    cells = [(*cell, count) for cell, count in counts.items()]
    cells = pd.DataFrame(cells, columns=["value", "cluster", "count"])
    sizes = pd.DataFrame({"viewers": sizes, "choices": choices or sizes})
    return preference.publish_shares(cells, sizes, 10, **given)


def test_the_smallest_row_goes_where_a_sum_would_tell_what_is_hidden():
    # 32 is shown as 30, as 28 to 32 are, and 22 as 20: with 63 in all a hidden 9 is 9 alone.
    counts = {("v0", "a"): 32, ("v1", "a"): 22, ("v2", "a"): 9}
    shown = shares_of(counts, {"a": 63}, sums=True)
    assert shown[["value", "share"]].values.tolist() == [["v0", 30 / 63]]
    # 83 of all are shown as 85, as 83 to 87 are: 83 − 52 − 22 is 9.
    shown = shares_of({("v", "a"): 52, ("v", "b"): 22, ("v", "c"): 9}, dict.fromkeys("abc", 100))
    assert shown["viewers"].tolist() == [50, 20] and shown["share_of_all"].isna().all()


def test_nearly_all_is_read_as_that_where_a_sum_would_tell_it():
    # Of 20 viewers 20, 19, 19 and 7, by the mean 65 or 66: 19 are told by 20 and by 5 to 7.
    cells = pd.DataFrame({"value": [*"abcd"], "cluster": "x", "count": [20, 19, 19, 7]})
    sizes = pd.DataFrame({"viewers": 20, "choices": 65}, index=pd.Index(["x"], name="cluster"))
    assert preference.publish_shares(cells, sizes, 5, sums=True)["value"].tolist() == ["a"]


def test_what_shares_are_of_tells_the_sum_too():
    # Of 59 viewers 53 viewings are by the mean 51 to 56, by the shares 53 to 57: all others are 4.
    assert preference._read_sum(59, 65, 5) == (63, 67)
    assert preference._read_sum(59, 59, 5) == (59, 59)
    assert preference._read_sum(48, 96, 5) == (96, 96)  # a rule may be: two videos
    assert preference._read_sum(0, 0, 5) == (0, 0)
    assert preference._read_sum(20, 46, 10) == (45, 46)  # 2.3; of 47 it is 2.35, told as 2.4


def test_shares_are_those_of_published_counts():
    shown = shares_of({("v", "a"): 42}, {"a": 100}, {"a": 203}).iloc[0]
    shares = shown[["viewers", "reach", "share", "share_of_all"]].tolist()
    assert shares == [40, 40 / 100, 40 / 205, 40 / 205]


def test_p_values_are_told_as_steps():
    told = preference.coarsen_p_values(pd.Series([0.0, 0.0004, 0.02, 0.0501, 0.8, np.nan]))
    assert told.tolist() == pytest.approx([0.001, 0.001, 0.05, 0.1, 1, np.nan], nan_ok=True)


def crowd(counts):
    """Sessions of so many viewers for each (kind of viewing, video): b is a bounce, f a finish."""
    return [
        session(f"{kind}{video}{n}", video, {"b": 0.1, "f": 0.92}[kind])
        for (kind, video), viewers in counts.items()
        for n in range(viewers)
    ]


def test_cells_are_those_counted_by_hand():
    counts = {("b", "v1"): 32, ("b", "v2"): 48, ("f", "v1"): 21, ("f", "v2"): 41, ("f", "v3"): 4}
    section = compare(tables([*crowd(counts), *crowd({("b", "v1"): 32})]))
    videos = section.parts["videos"].table.set_index(["cluster", "media_id"])
    cell = videos.loc[("bouncers", "v1")]
    assert cell["viewers"] == 30 and cell["avg_percent_watched"] == 10
    assert cell["reach"] == 30 / 80 and cell["share_of_viewings"] == 30 / 80
    assert cell["share_of_all"] == 55 / 146  # 53 of 146 viewings, published
    assert cell["preference"] == pytest.approx((30 / 80) / (55 / 146))
    assert ("casual_viewers", "v3") not in videos.index
    assert "“Video v2” was seen by" in section.parts["videos"].finding


def test_a_cluster_without_two_groups_is_named_in_no_sentence():
    for viewers, named in ((14, "Bouncers"), (20, "Casual Viewers")):
        section = compare(tables(crowd({("b", "v1"): 30, ("b", "v2"): 20, ("f", "v3"): viewers})))
        assert f"of {named}, the largest share" in section.parts["videos"].finding


def test_nearly_all_of_a_cluster_have_no_row():
    counts = {("b", "v1"): 44, ("b", "v2"): 6, ("f", "v1"): 30}
    videos = compare(tables(crowd(counts))).parts["videos"].table
    assert videos[["media_id", "cluster"]].values.tolist() == [["v1", "casual_viewers"]]


def test_viewings_of_a_folder_are_described_and_videos_of_one_title_told_apart():
    sessions = [session(f"a{n}", m, 0.9) for n in range(40) for m in ("v1", "v2")]
    sessions += [session(f"c{n}", "v3", 0.9) for n in range(20)]
    known = {"name": "Demo", "duration": 60.0, "folder": "Demos"}
    medias = [known | {"media_id": media} for media in ("v1", "v2")]
    section = compare(tables([*sessions, *crowd({("b", "v3"): 20})], medias=medias))
    assert {"Demo (v1)", "Demo (v2)"} <= set(section.parts["videos"].table["title"])
    row = section.parts["folders"].table.iloc[0]
    assert (row["cluster"], row["folder"], row["viewings"]) == ("casual_viewers", "Demos", 80)
    assert row["share_of_viewings"] == 80 / 100 and row["share_of_all"] == 80 / 120


def one_after_the_other(viewers, *steps, prefix="a"):
    return [
        session(f"{prefix}{n}", media, percent, minutes=minute)
        for n in range(viewers)
        for minute, (media, percent) in enumerate(steps)
    ]


def next_videos(sessions):
    found = content.suggest_next_videos(tables(sessions), RULES, 10)
    return found[["cluster", "media_id", "followers", "basis"]].values.tolist()


def test_the_next_video_is_what_followed_a_finished_one():
    follow = one_after_the_other(12, ("v1", 0.9), ("v2", 0.75), ("v3", 0.1), ("v4", 1.0))
    others = [session(f"e{n}", media, 0.6) for n in range(20) for media in ("x1", "x2", "x3")]
    # v2 and v3 followed a video watched to 75 % or more; v4 and x2 followed one that was left.
    assert next_videos(follow + others) == [
        ["engaged_explorers", "v2", 10, "this cluster"],
        ["engaged_explorers", "v3", 10, "this cluster"],
    ]


def test_a_video_finished_only_afterwards_has_no_follower():
    assert next_videos(one_after_the_other(20, ("v1", 0.2), ("v2", 0.9), ("v1", 1.0))) == []


def test_of_videos_begun_at_the_same_moment_none_follows():
    assert next_videos([session(f"a{n}", v, 0.9) for n in range(20) for v in ("v1", "v2")]) == []


def test_a_cluster_that_goes_nowhere_gets_what_all_viewers_watched_next():
    follow = one_after_the_other(12, ("v1", 0.9), ("v2", 0.9))
    found = next_videos(follow + crowd({("b", "v1"): 20}))
    assert ["bouncers", "v2", 10, "all viewers"] in found


def test_the_same_first_video_for_all_clusters_is_called_popular():
    deep = one_after_the_other(30, ("v1", 0.9), ("v2", 0.9))
    wide = one_after_the_other(30, ("v1", 0.9), ("v2", 0.5), ("v3", 0.5), prefix="b")
    section = compare(tables([*deep, *wide])).parts["next_video"]
    assert "“Video v2”" in section.finding and "popular" in section.finding


@pytest.mark.parametrize(("many", "said"), [(60, "Engaged Explorers most often"), (35, "No video")])
def test_a_next_video_is_named_where_it_is_clearly_the_first(many, said):
    follow = one_after_the_other(many, ("v1", 0.9), ("v2", 0.5), ("x", 0.5))
    others = one_after_the_other(30, ("v1", 0.9), ("v3", 0.5), ("y", 0.5), prefix="o")
    section = compare(tables([*follow, *others])).parts["next_video"]
    assert section.finding.startswith(said)


def test_usual_completion_goes_by_length():
    usual = content.usual_percent(pd.Series([59.9, 60, 119, 120, 600, 1200]))
    assert list(usual) == [66, 56, 56, 50, 39, 22]


def test_completion_is_judged_beside_the_usual_of_its_length():
    percents = np.random.default_rng(3).uniform(0.7, 1, 40)
    sessions = [session(f"c{n}", "long", percent) for n, percent in enumerate(percents)]
    for media, middle in (("short", 0.2), ("usual", 0.5), ("unknown", 0.9)):
        sessions += [session(f"{media}{n}", media, middle + n % 5 / 25) for n in range(30)]
    lengths = {"long": 1500.0, "short": 30.0, "usual": 100.0}
    medias = [{"media_id": media, "duration": seconds} for media, seconds in lengths.items()]
    table = compare(tables(sessions, medias=medias)).parts["lengths"].table.set_index("media_id")
    verdicts = {"long": "above", "short": "below", "usual": "as usual"}
    assert table["verdict"].to_dict() == verdicts
    assert table["percent"].iloc[0] == round(percents.mean() * 100)


def test_videos_of_known_length_are_in_the_order_of_published_viewers():
    sessions = [session(f"p{n}", "v1") for n in range(28)] + [
        session(f"q{n}", "v2") for n in range(31)
    ]
    medias = [{"media_id": key, "name": f"Video {key}", "duration": 60.0} for key in ("v1", "v2")]
    shown = content.compare_lengths(tables(sessions, medias=medias), 10).table
    assert shown["media_id"].tolist() == ["v1", "v2"]  # both 30


def test_few_who_all_left_a_long_video_early_tell_nothing_of_it():
    """A tenth of the viewers see a long video to its end: of ten there may be none."""
    early = [0.05, 0.08, 0.1, 0.12, 0.07, 0.09, 0.11, 0.06, 0.1, 0.08, 0.12, 0.1]
    sessions = [session(f"few{n}", "few", percent) for n, percent in enumerate(early)]
    for media in ("v1", "v2", "v3"):
        percents = [0.13] * 27 + [1.0] * 3
        sessions += [session(f"{media}{n}", media, percent) for n, percent in enumerate(percents)]
    medias = [{"media_id": media, "duration": 1500.0} for media in ("few", "v1", "v2", "v3")]
    table = compare(tables(sessions, medias=medias)).parts["lengths"].table.set_index("media_id")
    assert table.loc["few", ["percent", "usual_percent", "verdict"]].tolist() == [9, 22, "as usual"]
    assert set(table["verdict"]) == {"as usual"}


@pytest.mark.parametrize(("viewers", "verdict"), [(29, "as usual"), (30, "below")])
def test_fewer_than_30_viewers_vary_as_much_as_can_be(viewers, verdict):
    sessions = [session(f"c{n}", "v", 0.4 + n % 3 / 10) for n in range(viewers)]
    table = compare(tables(sessions, medias=[{"media_id": "v", "duration": 50.0}])).parts["lengths"]
    assert table.table["verdict"].tolist() == [verdict]


def test_one_who_watches_again_and_again_does_not_lift_a_video_above_the_usual():
    halves = [(f"v{number}", 0.1 + viewer % 2 * 0.8) for number in range(3) for viewer in range(20)]
    sessions = [session(f"c{n}", media, percent) for n, (media, percent) in enumerate(halves)]
    sessions += [session("fan", "v0", 0.99, minutes=40 * n) for n in range(60)]
    medias = [{"media_id": f"v{number}", "duration": 300.0} for number in range(3)]
    table = compare(tables(sessions, medias=medias)).parts["lengths"].table
    assert table["percent"].tolist() == [87, 50, 50]
    assert set(table["verdict"]) == {"as usual"}


def test_nothing_watched_gives_sentences_and_empty_tables():
    section = compare(tables([]))
    for part in (section, *section.parts.values()):
        assert part.table.empty and part.finding.startswith("No ")
