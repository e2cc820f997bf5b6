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

CLUSTERS = pd.DataFrame({
    "cluster": plots.CLUSTERS, "viewers": [89, 234, 412, 187, 325],
    "identified_viewers": [67, 142, 51, 89, 118],
}).assign(share=lambda frame: frame["viewers"] / frame["viewers"].sum())  # fmt: skip
TIMES = pd.DataFrame({"weekday": ["Mon", "Tue"], "hour": [3, 14], "sessions": [5, 60]})
COMPLETION = pd.DataFrame(
    {"sessions": [10, 30, 60]}, index=pd.Index(["0 exactly", "0–10", "100 exactly"])
)
COUNTS = pd.DataFrame(
    [("bouncers", 1, 412, 14.0), ("skimmers", 2, 120, 31.0), ("skimmers", 20, 11, 35.0),
     ("binge_watchers", 7, 1, 80.0)],
    columns=["cluster", "videos", "viewers", "avg_percent_watched"],
)  # fmt: skip
AFFINITY = pd.DataFrame(
    [("bouncers", "m1", "Costs $5 and $6", 40, 0.1), ("skimmers", "m1", "Costs $5 and $6", 60, 0.3),
     ("skimmers", "m2", "Tour", 12, 0.06)],
    columns=["cluster", "media_id", "title", "viewers", "reach"],
)  # fmt: skip
WEEKS = pd.DataFrame(
    {"sessions": [30, 79]}, index=pd.Index(["2026-01-05", "2026-01-12"], name="week")
)
FIGURES = {
    plots.when_people_watched: (TIMES, "Busiest hour: Tue 14:00, 60 of 65 sessions."),
    plots.completion: (COMPLETION, "60 % of 100 sessions saw the whole video."),
    plots.cluster_sizes: (CLUSTERS, "Largest cluster: bouncers, 33 % of 1,247 viewers."),
    plots.completion_by_videos: (COUNTS, "Viewers see 18 % of a video on average (n = 543)."),
    plots.content_heatmap: (AFFINITY, "30 % of skimmers saw “Costs $5 and $6”."),
    plots.sessions_over_time: (WEEKS, "Busiest week: 2026-01-12, 79 sessions."),
}  # fmt: skip


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def pixels(ax) -> np.ndarray:
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


def words(ax) -> str:
    return " ".join(text.get_text() for text in ax.figure.findobj(matplotlib.text.Text))


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_a_figure_is_not_blank_and_states_its_finding_with_the_number(draw):
    data, finding = FIGURES[draw]
    ax = draw(data)
    assert len(np.unique(pixels(ax).reshape(-1, 3), axis=0)) > 20
    assert ax.figure.get_label().replace("\u00a0", " ") == finding
    assert " ".join(ax.get_title(loc="left").split()) + "." == finding


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_a_figure_draws_on_the_axis_it_is_given(draw):
    ax = plt.figure().add_subplot()
    assert draw(FIGURES[draw][0], ax) is ax


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_an_empty_frame_gives_an_axis_that_says_why(draw):
    data = FIGURES[draw][0]
    ax = draw(data.iloc[:0])
    said = {
        plots.content_heatmap: "no video was watched by enough viewers to show",
    }.get(draw, "no viewers in the window")
    assert said in words(ax)


def test_watch_times_may_be_wide_or_long():
    wide = TIMES.pivot(index="weekday", columns="hour", values="sessions")
    assert (
        pixels(plots.when_people_watched(wide)) == pixels(plots.when_people_watched(TIMES))
    ).all()


def test_axes_carry_their_units():
    assert "[%]" in plots.cluster_sizes(CLUSTERS).get_xlabel()
    ax = plots.completion_by_videos(COUNTS)
    assert "[videos]" in ax.get_xlabel() and "[%]" in ax.get_ylabel()
    assert "[Europe/Oslo]" in plots.when_people_watched(TIMES, time_zone="Europe/Oslo").get_xlabel()


def test_every_share_of_cluster_sizes_stands_with_its_count_and_interval():
    said = words(plots.cluster_sizes(CLUSTERS)).replace("\u00a0", " ")
    assert "89 viewers · 7 % (6–9 %)" in said and "67 identified" in said


def test_a_group_of_fewer_viewers_than_min_cell_is_not_drawn():
    assert "binge watchers" not in words(plots.completion_by_videos(COUNTS, min_cell=10))
    assert "binge watchers" in words(plots.completion_by_videos(COUNTS, min_cell=1))


def test_two_videos_of_the_same_title_stay_two_rows():
    twins = AFFINITY.assign(title="Tour")
    assert len(plots.content_heatmap(twins).get_yticks()) == 2


def test_a_dollar_in_a_title_is_no_formula():
    assert "Costs $5 and $6" in words(plots.content_heatmap(AFFINITY))
    pixels(plots.content_heatmap(AFFINITY.assign(title="$\\frac{$")))


def test_the_finding_of_the_heat_map_is_about_a_video_it_shows():
    axis = plots.content_heatmap(AFFINITY, videos=1)
    assert len(axis.get_yticks()) == 1 and "Costs $5" in axis.get_title(loc="left")


def test_a_long_title_takes_two_lines_before_it_is_cut():
    long = AFFINITY.assign(title="Comparison of every plan we have with every other plan there is")
    label = plots.content_heatmap(long).get_yticklabels()[0].get_text()
    assert label.split("\n") == [
        "Comparison of every plan we have with",
        "every other plan there is",
    ]


def test_an_image_of_few_colours_is_smaller_and_hardly_differs():
    ax, png = plots.when_people_watched(TIMES), io.BytesIO()
    ax.figure.savefig(png, dpi=220)
    small, size = plots._few_colours(png.getvalue())
    before = Image.open(png).convert("RGB")
    after = Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB")
    assert size == before.size == after.size
    assert len(base64.b64decode(small)) < len(png.getvalue()) * 0.6
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
