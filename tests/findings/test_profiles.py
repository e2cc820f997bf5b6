"""What the viewers of a cluster are like: published counts, quartiles of large clusters alone."""

import pandas as pd
import pytest

from helpers import cluster
from helpers.findings.profiles import describe_profiles

pytest_plugins = ("money_fixtures",)


@pytest.fixture
def profile(make_world):
    """A function that measures the clusters of 30, 25, 40, 20 and 35 viewers."""
    run = make_world().run()

    def measure(min_cell: int = 10):
        return describe_profiles(run.engine, cluster.read_table(run), min_cell)

    return measure


def groups(frame: pd.DataFrame, cluster: str, kind: str) -> list[tuple]:
    chosen = frame[(frame["cluster"] == cluster) & (frame["kind"] == kind)]
    return list(chosen[["name", "viewers", "share"]].itertuples(index=False, name=None))


def test_means_are_those_of_clusters_csv_and_groups_are_published_counts(profile):
    found = profile()
    binge = found.clusters.loc["binge_watchers"]
    assert (binge["viewers"], binge["share"], binge["avg_videos"]) == (30, 0.2, 6)
    assert (binge["avg_percent_watched"], binge["identified_viewers"]) == (90, 0)
    assert groups(found.parts, "binge_watchers", "mobile") == [("mobile", 15, 0.5)]
    countries = [("US", 20, 0.667), ("GB", 10, 0.333)]
    assert groups(found.parts, "binge_watchers", "country") == countries
    videos = found.videos[found.videos["cluster"] == "binge_watchers"]
    assert list(videos["title"]) == [f"Video {letter}" for letter in "ABCDE"]
    assert set(videos["viewers"]) == {30} and set(videos["avg_percent_watched"]) == {90}
    assert binge[["avg_minutes_watched", "hours_watched"]].isna().all()  # no length is known


def test_a_group_under_min_cell_or_all_but_so_few_is_left_out(profile):
    assert groups(profile().parts, "engaged_explorers", "country") == []  # 9 of 25 are in GB
    shown = groups(profile(5).parts, "engaged_explorers", "country")
    assert [name for name, *_ in shown] == ["US", "GB"]


def test_quartiles_are_whole_numbers_of_four_times_min_cell_viewers(profile):
    spread = profile().clusters["percent_watched"]
    assert list(spread["bouncers"].values()) == [10, 10, 10]  # 40 viewers
    assert spread.drop("bouncers").isna().all()  # 35 and fewer
    assert profile(5).clusters["visits_per_viewer"].notna().all()


def test_a_cluster_under_min_cell_keeps_its_row_and_no_number(profile):
    found = profile(25)
    assert found.clusters.loc["skimmers"].isna().all()
    assert "skimmers" not in set(found.parts["cluster"]) | set(found.videos["cluster"])
