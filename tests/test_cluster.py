"""Clusters by rule: a row for every rule, shares that add up, a preview that saves nothing."""

import pandas as pd
import pytest

from helpers import cluster, enrich
from helpers.batch import summary
from helpers.core.errors import DataError
from helpers.run import Run
from helpers.store import rules
from tests.test_enrich import new_run, session, visitor  # noqa: F401

SESSIONS = [
    # five videos at 80 %: a binge watcher, known by e-mail
    *(session(f"a{n}", "anna", f"m{n}", "2026-06-01T10:00:00", 0.8) for n in range(5)),
    # three at 60 %: an engaged explorer
    *(session(f"b{n}", "bert", f"m{n}", "2026-06-01T10:00:00", 0.6) for n in range(3)),
    # one to the end: casual; one left at 10 %: a bouncer
    session("c", "carl", "m1", "2026-06-01T10:00:00", 1.0),
    session("d", "dora", "m1", "2026-06-01T10:00:00", 0.1),
]


@pytest.fixture
def clustered(new_run):  # noqa: F811
    enrich.features(new_run(SESSIONS, [visitor("anna", email="anna@example.com")]))
    run = Run.open("03_cluster", source="sandbox", min_cell=1)
    return run, cluster.assign(run)


def test_every_rule_has_a_row_and_shares_add_up(clustered):
    run, table = clustered
    assert list(pd.read_csv(run.data("clusters.csv"))) == [
        "cluster", "viewers", "share", "avg_videos", "avg_percent_watched", "avg_visits",
        "identified_viewers", "identified_share",
    ]  # fmt: skip
    assert table["viewers"].to_dict() == {
        "binge_watchers": 1, "engaged_explorers": 1, "bouncers": 1, "skimmers": 0,
        "casual_viewers": 1,
    }  # fmt: skip
    assert table["share"].tolist() == [0.25, 0.25, 0.25, 0, 0.25]
    assert table.loc["binge_watchers", "avg_videos"] == 5
    assert table.loc["binge_watchers", "avg_percent_watched"] == pytest.approx(80)
    assert table["identified_viewers"].tolist() == [1, 0, 0, 0, 0]
    assert table.loc["binge_watchers", "identified_share"] == 1
    assert pd.isna(table.loc["skimmers", "avg_videos"])


def test_a_preview_says_who_would_move_and_saves_nothing(clustered):
    run, table = clustered
    before = run.data("viewers.parquet").read_bytes()
    changed = cluster.rules_of(run).replace("engaged_explorers", "avg_percent_watched", 70)
    moves = cluster.moves(run, rules=changed)
    assert moves["viewers"].to_dict() == {("engaged_explorers", "casual_viewers"): 1}
    assert run.data("viewers.parquet").read_bytes() == before


def test_other_labels_stand_beside_the_clusters_in_published_counts(new_run):  # noqa: F811
    viewers = [f"v{n}" for n in range(40)]
    whole = [session(f"e{n}", v, "m1", "2026-06-01T10:00:00", 1.0) for n, v in enumerate(viewers)]
    left = [session(f"l{v}", f"left-{v}", "m1", "2026-06-01T10:00:00", 0.1) for v in viewers[:22]]
    enrich.features(new_run([*whole, *left]))
    run = Run.open("03_cluster", source="sandbox")
    cluster.assign(run)
    frame = cluster.viewers(run)
    labels = cluster.label_viewers(frame, groups=2)
    assert labels.value_counts().to_dict() == {"group A": 40, "group B": 22}
    found = cluster.compare(run, labels)
    assert found.index.tolist() == run.rules.names and found.index.name == "cluster"
    assert found.loc["casual_viewers"].tolist() == [40, 0]
    assert found.loc["bouncers"].tolist() == [0, 20]  # 22, rounded to fives
    labels[viewers[:3]] = "group B"  # three of 40: hidden, and so is the rest
    assert cluster.compare(run, labels).loc["casual_viewers"].isna().all()
    assert cluster.label_viewers(frame.iloc[:0], groups=2).empty


def test_a_clusters_file_of_one_s_own_names_the_clusters(clustered, tmp_path):
    own = tmp_path / "own.yml"
    own.write_text(
        "clusters:\n  - name: finishers\n    when: avg_percent_watched >= 80\n  - name: others\n"
    )
    run = Run.open("03_cluster", source="sandbox", clusters_file=str(own))
    assert cluster.assign(run)["viewers"].to_dict() == {"finishers": 2, "others": 2}


def test_completion_by_videos_is_an_aggregate(clustered):
    run, _ = clustered
    table = cluster.completion_by_videos(run)
    assert list(table) == ["cluster", "videos", "avg_percent_watched"]
    assert table["cluster"].is_monotonic_increasing and len(table) == 4


def test_clustering_before_enriching_is_a_clear_error(bare_environment):
    with pytest.raises(DataError, match="Run 02_enrich first"):
        cluster.assign(Run.open("03_cluster", source="sandbox"))


def test_a_slip_in_the_clusters_file_is_told_at_the_end_of_the_run(clustered, tmp_path):
    run, _ = clustered
    assert not [line for line in summary.tell("notices", run.folder) if "percents" in line]
    path = tmp_path / "my.yml"
    cluster.rules_of(run).replace("bouncers", "avg_percent_watched", 0.3).save(path)
    slip = Run.open("03_cluster", source="sandbox", min_cell=1, clusters_file=str(path))
    cluster.assign(slip)
    told = "Warning: Cluster bouncers compares avg_percent_watched with 0.3: "
    assert f"{told}percents run from 0 to 100." in summary.tell("notices", slip.folder)


def test_other_rules_give_frame_and_table_write_nothing_and_warn_of_a_slip(clustered, tmp_path):
    run, table = clustered
    changed = cluster.rules_of(run).replace("engaged_explorers", "avg_percent_watched", 0.7)
    with pytest.warns(UserWarning, match="percents run from 0 to 100"):
        by_others = cluster.table(run, rules=changed)
    assert cluster.viewers(run, rules=changed)["cluster"].value_counts().to_dict() == {
        name: count for name, count in by_others["viewers"].items() if count
    }
    assert cluster.table(run).equals(table)
    changed.save(tmp_path / "my.yml")
    assert rules.load(tmp_path / "my.yml").fingerprint == changed.fingerprint
    viewers = cluster.viewers(run)
    assert viewers.index.name == "visitor_key" and "top_title" in viewers
