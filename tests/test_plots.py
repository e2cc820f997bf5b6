"""Figures: each draws what it is given, says what it found, and survives having nothing."""

import base64
import io

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers import plots

CLUSTERS = pd.DataFrame(
    {"viewers": [89, 234, 412, 187, 325], "identified_viewers": [67, 142, 51, 89, 118]},
    index=pd.Index(plots.CLUSTERS, name="cluster"),
).assign(share=lambda frame: frame["viewers"] / frame["viewers"].sum())
TIMES = pd.DataFrame({3: [None, 0], 14: [0, 60]}, index=["Mon", "Tue"], dtype=float)
COMPLETION = pd.DataFrame(
    {"share": [0.1, None, 0.6]}, index=pd.Index(["exactly 0", "0–10", "exactly 100"])
)
BY_VIDEOS = pd.DataFrame({
    "cluster": ["skimmers", "skimmers", "bouncers", "binge_watchers"], "videos": [2, 20, 1, 5],
    "avg_percent_watched": [30.0, 35.0, 14.0, 33.0],
})  # fmt: skip
TITLES = ["Costs $5 and $6", "Costs $5 and $6", "Tour"]
AFFINITY = pd.DataFrame({"media_id": ["m1", "m1", "m2"], "title": TITLES}).assign(
    cluster=["bouncers", "skimmers", "skimmers"], viewers=[40, 60, 10], reach=[0.1, 0.3, 0.06]
)
WEEKS = pd.DataFrame(
    {"viewers": [30, None, 80], "people": [10, 10, None]},
    index=pd.Index(["2026-01-05", "2026-01-12", "2026-01-19"], name="week"),
)
FIGURES = {
    plots.trend: (WEEKS, "Most viewers in a week: 80, from 19 Jan 2026."),
    plots.when_people_watched: (TIMES, "Up to 60 viewers in one hour of the week."),
    plots.completion: (COMPLETION, "60 % of sessions saw the whole video."),
    plots.cluster_sizes: (CLUSTERS, "Largest cluster: bouncers, 33 % of 1,247 viewers."),
    plots.completion_by_videos: (
        BY_VIDEOS,
        "Most of a video is seen by skimmers of 20+ videos: 35 %.",
    ),
    plots.content_heatmap: (AFFINITY, "30 % of skimmers saw “Costs $5 and $6”."),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def pixels(ax) -> np.ndarray:
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


def words(ax) -> str:
    found = ax.figure.findobj(matplotlib.text.Text)
    return " ".join(text.get_text() for text in found).replace("\u00a0", " ")


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_a_figure_is_not_blank_and_states_its_finding_with_the_number(draw):
    data, finding = FIGURES[draw]
    ax = draw(data)
    assert len(np.unique(pixels(ax).reshape(-1, 3), axis=0)) > 20
    assert ax.figure.get_label().replace("\u00a0", " ") == finding
    assert " ".join(ax.get_title(loc="left").split()) + "." == finding


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_a_figure_draws_on_the_axis_it_is_given_and_an_empty_frame_says_why(draw):
    data, ax = FIGURES[draw][0], plt.figure().add_subplot()
    assert draw(data, ax) is ax
    nothing = words(draw(data.iloc[:0]))
    assert "no viewers in the window" in nothing or "no video was watched by enough" in nothing


def test_retention_is_a_small_figure_for_each_video_with_its_drops_marked():
    curves = pd.DataFrame(
        {"media_id": list("aab"), "title": list("AAB"), "second": [0, 265, 0], "watching": 1.0}
    ).assign(rewatched=0.1)
    drops = pd.DataFrame({"media_id": ["a"], "title": "A", "second": 65, "lost": 0.2, "left": 0.6})
    ax = plots.retention_curves(curves, drops, drops.iloc[:0])
    assert ax.get_title(loc="left") == "A" and "1:05" in words(ax) and len(ax.figure.axes) == 2
    assert ax.figure.get_label() == "Drops: 1:05 of A."
    assert [tick for tick in ax.get_xticks() if 0 <= tick <= 265] == [0, 60, 120, 180, 240]
    assert plots.retention_curves(curves.iloc[:0], drops.iloc[:0], drops.iloc[:0]) is None


def test_axes_carry_their_units():
    assert "[%]" in plots.cluster_sizes(CLUSTERS).get_xlabel()
    assert "[%]" in plots.completion_by_videos(BY_VIDEOS).get_xlabel()
    assert "[Europe/Oslo]" in plots.when_people_watched(TIMES, time_zone="Europe/Oslo").get_xlabel()
    assert plots.trend(WEEKS).get_ylabel() == "viewers and people in a week"
    assert plots.trend(WEEKS).get_xlabel() == "first UTC day of the week"


def test_a_hidden_count_is_a_gap_in_the_trend_and_few_in_a_table():
    assert np.isnan(plots.trend(WEEKS).lines[0].get_ydata()[1])
    assert words(plots.content_heatmap(AFFINITY)).count("% few ") == 1
    assert words(plots.completion(COMPLETION)).count("few") == 1
    said = words(plots.completion(COMPLETION[:2]))
    assert "Sessions by the share of the video that they saw" in said
    assert "or too few to show" in words(plots.when_people_watched(TIMES * np.nan))


def test_every_share_of_cluster_sizes_stands_with_its_count_and_interval():
    said = words(plots.cluster_sizes(CLUSTERS))
    assert "89 viewers · 7 % (6–9 %)" in said and "67 identified" in said


def test_groups_that_are_left_out_are_blank_and_clusters_stand_in_the_order_of_the_rules():
    axis = plots.completion_by_videos(BY_VIDEOS)
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["binge watchers", "bouncers", "skimmers"]
    assert words(axis).count("%") == 1 + 1 + len(BY_VIDEOS)  # title, axis, cells


def test_titles_are_shown_as_they_are_and_two_alike_stay_two_rows():
    assert len(plots.content_heatmap(AFFINITY.assign(title="Tour")).get_yticks()) == 2
    assert "Costs $5 and $6" in words(plots.content_heatmap(AFFINITY))
    pixels(plots.content_heatmap(AFFINITY.assign(title="$\\frac{$")))  # a dollar is no formula
    axis = plots.content_heatmap(AFFINITY, videos=1)
    assert len(axis.get_yticks()) == 1 and "Costs $5" in axis.get_title(loc="left")


def test_an_image_of_few_colours_is_smaller_and_hardly_differs():
    ax, png = plots.when_people_watched(TIMES), io.BytesIO()
    ax.figure.savefig(png, dpi=220)
    small = base64.b64decode(plots._few_colours(png.getvalue()))
    assert len(small) < len(png.getvalue()) * 0.6
    before, after = (Image.open(image).convert("RGB") for image in (png, io.BytesIO(small)))
    assert before.size == after.size
    differs = np.abs(np.asarray(before, int) - np.asarray(after, int))
    assert differs.mean() < 0.5 and differs.max() < 64


def test_clusters_keep_their_look_and_own_ones_follow():
    looks = plots.looks(["finishers", "bouncers"])
    assert looks["bouncers"] == 2 and looks["finishers"] == 5
    assert len(set(plots.looks([]).values())) == 5


@pytest.mark.parametrize(("colours", "page"), [(plots.COLOURS, "#ffffff"), (plots.DARK, "#131519")])
def test_the_palette_stands_out_from_the_page(colours, page):
    for colour in colours:
        light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
