"""insights.json: every finding as a Section, plain numbers, no name; and what is written beside."""

import shutil

import numpy as np
import pytest
from test_enrich import new_run, session, visitor  # noqa: F401
from viewing import drawn

from helpers import cluster, enrich
from helpers.core.errors import DataError
from helpers.core.files import read_csv, read_json, write_json
from helpers.findings.section import Section
from helpers.run import Run

KNOWN = [visitor(f"p{n}", email=f"p{n}@acme.example", name="Ann Lee") for n in range(90)]


def clustered(new_run, seed=1, viewers=300):  # noqa: F811
    frame, _ = drawn(viewers, np.random.default_rng(seed))
    rows = frame.replace({np.nan: None}).assign(media_name="Video " + frame["media_id"])
    enrich.features(new_run(rows.to_dict("records"), KNOWN))
    run = Run.open("03_cluster", source="sandbox")
    cluster.assign(run)
    return run


def written(run):
    cluster.write_findings(run)
    return read_json(run.data("insights.json"))


def sections_of(insights):
    for name, section in insights.items():
        if name not in ("schema_version", "basis"):
            section = Section.from_json(section)
            yield from [section, *section.parts.values()]


def test_every_finding_is_written_in_one_form_and_names_nobody(new_run):  # noqa: F811
    run = clustered(new_run)
    insights = written(run)
    assert list(insights) == [
        "schema_version", "basis", "content", "sources", "conversions", "change", "sensitivity",
        "groups", "people", "coverage",
    ]  # fmt: skip
    assert insights["schema_version"] == 2 and "rules" in insights["basis"]
    text = run.data("insights.json").read_text("utf-8")
    assert not any(word in text for word in ("@", "Ann", "acme", '"p1', "NaN"))
    for section in sections_of(insights):
        assert section.finding.endswith(".") and "nan" not in section.finding.lower().split()
    videos = insights["content"]["parts"]["videos"]["rows"]
    affinity = read_csv(run.data("affinity.csv"))
    assert affinity["viewers"].tolist() == [row["viewers"] for row in videos]
    private = {path.name for path in run.private("").iterdir()}
    assert {"outreach_binge_watchers.csv", "outreach.xlsx", "crm_hubspot.csv"} <= private


def test_a_finding_asked_alone_is_that_written(new_run):  # noqa: F811
    run = clustered(new_run)
    found = cluster.write_findings(run)
    for name, section in found.items():
        assert getattr(cluster, name)(run).to_json() == section.to_json(), name
    assert cluster.list_findings(found).loc["coverage", "finding"] == found["coverage"].finding


def test_findings_are_the_same_again_and_in_shards(new_run, monkeypatch):  # noqa: F811
    whole = written(clustered(new_run))
    for shards in ("", "3"):
        monkeypatch.setenv("VIEWER_PERSONAS_SHARDS", shards or "0")
        if not shards:
            monkeypatch.delenv("VIEWER_PERSONAS_SHARDS")
        assert written(Run.open("03_cluster", source="sandbox")) == whole


def test_a_cluster_without_two_groups_has_rows_in_no_finding(new_run):  # noqa: F811
    run = clustered(new_run)
    sizes = cluster.read_table(run)["viewers"].loc[lambda viewers: viewers > 0]
    least = int(sizes.min()) // 2 + 1  # of the smallest cluster one group may be shown, not two
    small = {*sizes.index[sizes < 2 * least]}
    run = Run.open("03_cluster", source="sandbox", min_cell=least)
    tables = [section.table for section in sections_of(written(run))]
    named = {name for table in tables if "cluster" in table for name in table["cluster"]}
    assert small and named >= {*sizes.index} - small and not named & small


def test_no_viewers_get_whole_sentences(new_run):  # noqa: F811
    enrich.features(new_run([session("e", "a", "m1", "2019-01-01T10:00:00", 0.5)]))
    run = Run.open("03_cluster", source="sandbox")
    cluster.assign(run)
    for section in sections_of(written(run)):
        assert section.finding.endswith(".")


def test_before_the_clusters_are_named_there_are_no_findings(new_run):  # noqa: F811
    enrich.features(new_run([session("e", "a", "m1", "2026-06-20T10:00:00", 0.5)]))
    with pytest.raises(DataError, match="viewers"):
        cluster.write_findings(Run.open("03_cluster", source="sandbox"))


def as_done(run, name, **changes):
    """The work of dev as a finished run."""
    folder = run.settings.outputs / name
    shutil.copytree(run.folder, folder)
    manifest = read_json(folder / "run.json") | {"status": "done"}
    changed = {key: {**manifest[key], **value} for key, value in changes.items()}
    write_json(folder / "run.json", {**manifest, **changed})


def test_the_run_before_is_compared_if_it_is_of_the_same_source(new_run):  # noqa: F811
    run = clustered(new_run)
    assert "news" not in cluster.change(run).parts
    as_done(run, "2026-06-20", window={"end_date": "2026-06-19"})
    assert (
        "run 2026-06-20 (other window length): 0 viewers"
        in cluster.change(run).parts["news"].finding
    )
    other = {"window": {"end_date": "2026-06-21"}, "source": {"wistia": "live", "mavera": "live"}}
    as_done(run, "2026-06-22", **other)
    assert "news" not in cluster.change(run).parts
