import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from leaving import Video, any_video, simulate

from helpers.findings.drops import (
    describe_retention,
    find_drops,
    find_peaks,
    list_places,
    scale_curves,
)

STEADY = [200 - second for second in range(60)]  # half a point leaves each second


def with_fall(at: int, lost: int) -> list[int]:
    """Steady leaving, and `lost` plays more that see cell `at` - 1 and not cell `at`."""
    return [plays - lost * (second >= at) for second, plays in enumerate(STEADY)]


def seek(plays, cell: float = 1.0) -> pd.DataFrame:
    return find_drops(np.array(plays), np.zeros(len(plays)), cell)


def test_a_drop_has_its_second_what_is_lost_and_what_is_left():
    drops = seek(with_fall(30, 40))
    assert drops.to_dict("records") == [{"second": 30.0, "lost": 0.2, "left": 0.65}]


def test_steady_leaving_and_a_fall_of_less_than_ten_points_beyond_it_are_no_drop():
    assert seek(STEADY).empty
    assert seek(with_fall(30, 18)).empty
    assert len(seek(with_fall(30, 24))) == 1


def test_few_seconds_tell_a_trend_so_badly_that_a_fall_beside_them_may_be_chance():
    fall = [30] * 6 + [29, 27, 26, 24]
    assert seek(fall + [22] * 4).empty and len(seek(fall + [22] * 20)) == 1


def test_falls_that_touch_are_one_and_others_stay_two():
    plays = np.array(with_fall(30, 40))
    plays[34:] -= 30
    one = seek(plays)
    assert one["second"].tolist() == [30.0]
    assert one["lost"].iloc[0] == pytest.approx(0.37, abs=0.02)  # 70 of 200, and who leaves anyway
    plays = np.array(with_fall(20, 40))
    plays[40:] -= 40
    assert seek(plays)["second"].tolist() == [20.0, 40.0]


def test_the_first_five_seconds_are_the_opening_and_no_drop():
    assert seek([200, 190, 120, 110, 105] + [104 - second // 2 for second in range(60)]).empty


def test_in_a_long_video_a_cell_is_longer_and_so_is_its_second():
    plays = [1000] * 500 + [700] * 500
    assert seek(plays, 3.6)["second"].tolist() == [1800.0]
    assert seek(plays, 12.0)["lost"].tolist() == [0.3]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=40), st.sampled_from([0.97, 1.0, 7.5]))
def test_any_curve_gives_drops_within_the_video_and_shares_of_it(plays, cell):
    drops = seek([max(plays[0], 1), *plays[1:]], cell)
    assert drops["second"].is_monotonic_increasing
    assert drops["second"].between(5, len(plays) * cell).all()
    assert (drops["lost"] >= 0.1).all()


def test_what_is_watched_again_twice_as_often_and_by_ten_is_a_peak():
    plays, rewatches = np.full(60, 200), np.full(60, 4)
    rewatches[[20, 21, 22, 24]] = [12, 20, 15, 12]
    rewatches[40] = 9
    peaks = find_peaks(plays, rewatches, 1.0)
    assert peaks.to_dict("records") == [{"second": 21.0, "rewatched": 0.1, "left": 1.0}]
    assert find_peaks(plays, rewatches + 20, 1.0).empty


def test_under_min_cell_plays_there_is_no_curve_and_shares_are_whole_percents():
    engagement = pd.DataFrame(
        {"media_id": ["a", "a", "b", "b"], "second": [0.0, 1.0] * 2, "seconds": 1.0,
         "plays": [30, 20, 9, 9], "rewatches": [0, 40, 0, 0]}
    )  # fmt: skip
    titles = pd.Series({"a": "Demo", "b": "Few"})
    curves = scale_curves(engagement, titles, 10)
    columns = ["media_id", "title", "second", "lost", "left"]
    assert list(list_places(find_drops, engagement, titles, 10)) == columns
    shares = [["Demo", 1.0, 0.0], ["Demo", 0.67, 1.33]]
    assert curves[["title", "watching", "rewatched"]].values.tolist() == shares


def test_viewers_who_leave_by_chance_make_no_drop_and_a_planted_loss_is_found():
    """A few of the videos that benchmarks/retention.py counts."""
    named = found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        smooth = simulate(any_video(rng, 20, 100), rng)
        named += len(seek(smooth["plays"].to_numpy(), 1.0)) > 0
        video = Video(200, 100, stay=0.5, bounce=0.15, skips=0.2, again=0.2)
        planted = simulate(video, rng, drop_at=80.0)
        found += bool(seek(planted["plays"].to_numpy(), 1.0)["second"].between(79.5, 83.5).any())
    assert named <= 2
    assert found >= 38


def test_the_three_largest_drops_of_all_videos_are_named_in_order():
    drops = pd.DataFrame({"media_id": list("abcd"), "title": list("ABCD"), "second": 90.0,
                          "lost": [0.2, 0.26, 0.21, 0.22], "left": 0.5})  # fmt: skip
    videos = pd.DataFrame({"media_id": list("abcd"), "plays": [900, 100, 800, 15], "cluster": None})
    curves = pd.DataFrame(columns=["media_id", "title", "second", "watching"])
    section = describe_retention(curves, drops, drops.iloc[:0], videos)
    named = section.finding.replace("\u00a0", " ").partition(": ")[2]
    assert named == "26 % at 1:30 of “B”, 22 % at 1:30 of “D”, 21 % at 1:30 of “C”."
