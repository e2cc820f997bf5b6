"""A persona's draft: what it says, and when it has changed."""

import pytest

from helpers.mavera import drafts
from helpers.mavera.payloads import ClusterNumbers, Persona

SPREAD = {"25th_percentile": 2, "50th_percentile": 3, "75th_percentile": 9}
NUMBERS = {
    "cluster": "skimmers", "title": "Skimmers", "rule": "video_count >= 2", "viewers": 200,
    "share": 0.2, "avg_videos": 2.6, "avg_percent_watched": 30.0, "avg_visits": 1.4,
    "description": "Look for one answer.", "avg_minutes_watched": 4.1,
    "videos_per_viewer": SPREAD, "percent_watched": SPREAD, "visits_per_viewer": SPREAD,
    "mobile": {"name": "mobile", "viewers": 80, "share": 0.4},
    "countries": [{"name": "US", "viewers": 120, "share": 0.6}],
    "top_videos": [{"title": "A | B", "viewers": 90, "avg_percent_watched": 20}],
}  # fmt: skip
DRAFT = Persona(name="Skimmers", description="x")


def test_each_statement_is_a_sentence_and_says_where_its_number_comes_from():
    said = drafts.write_statements(ClusterNumbers(**NUMBERS), days=30)
    text = " ".join(line.text for line in said)
    assert all(line.text.endswith(".") and line.source for line in said)
    for part in (
        "200 viewers, 20.0% of all, in 30 days.", "25th, 50th and 75th percentile: 2, 3 and 9.",
        "2.6 videos in 1.4 visits", "4.1 minutes", "US 60%", "“A | B” (90)",
    ):  # fmt: skip
        assert part in text


def test_a_small_cluster_has_its_description_alone():
    small = ClusterNumbers(cluster="a", title="A", description="Look for one answer.")
    (line,) = drafts.write_statements(small, days=9)
    assert (line.text, line.source) == ("Look for one answer.", "clusters file: description")


@pytest.mark.parametrize(
    ("change", "material"),
    [
        ({"viewers": 215}, False), ({"viewers": 260}, True), ({"share": 0.23}, False),
        ({"share": 0.3}, True), ({"avg_percent_watched": 32.0}, False),
        ({"avg_percent_watched": 41.0}, True), ({"rule": "video_count >= 3"}, True),
        ({"title": "Skippers"}, True), ({"description": "Other."}, True),
        ({"countries": [{"name": "GB", "viewers": 120, "share": 0.6}]}, True),
        ({"countries": [{"name": "US", "viewers": 90, "share": 0.45}]}, False),
        ({"top_videos": [{"title": "C", "viewers": 90}]}, True), ({"mobile": None}, False),
    ],
)  # fmt: skip
def test_a_draft_changes_materially_with_texts_and_with_more_than_a_tenth(change, material):
    old = drafts.facts_of(DRAFT, ClusterNumbers(**NUMBERS))
    new = drafts.facts_of(DRAFT, ClusterNumbers(**NUMBERS | change))
    assert drafts.has_changed(old, new) is material and drafts.has_changed(new, old) is material


def test_another_field_of_the_clusters_file_is_a_change():
    numbers = ClusterNumbers(**NUMBERS)
    other = DRAFT.model_copy(update={"type": "B2C"})
    assert drafts.has_changed(drafts.facts_of(DRAFT, numbers), drafts.facts_of(other, numbers))
