"""Figures in one style: each takes a ready frame, draws one axis and returns it.

Every cluster keeps its colour and marker in all figures; names stand beside what they name. The
title of a figure is its finding, which is also its alt text. An empty frame gives an axis that
says why it is empty.
"""

from __future__ import annotations

import base64
import io
import sys
import textwrap
from collections.abc import Iterable

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.findings.disclosure import span, whole_percent, wilson

CLUSTERS = ("binge_watchers", "engaged_explorers", "bouncers", "skimmers", "casual_viewers")
"""The built-in clusters, which keep their look whatever else a clusters file adds."""

COLOURS = ("#0067a8", "#00785a", "#b3540a", "#a1437c", "#5c6470", "#806000", "#5a55b8", "#9a3324")
"""Okabe and Ito's colour-blind-safe hues, darkened to 4.5:1 against white."""

DARK = ("#62b5ea", "#35c495", "#f0a158", "#e39cc4", "#a9b1bd", "#d9b443", "#a9a5f2", "#f09484")
"""The same hues for a dark page."""

MARKERS = ("o", "s", "v", "D", "^", "P", "X", "p")
"""Matplotlib's markers; the report draws the same shapes."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHARP = 2
"""Pixels of an image to one of its size on the page, for screens that have more of them."""
BINS = {1: "1", 2: "2", 3: "3", 4: "4", 5: "5–6", 7: "7–9", 10: "10–19", 20: "20+"}
INK, QUIET, GRID = "#1b1e24", "#3d424b", "#e3e6ea"
STYLE = {
    "figure.dpi": 110, "figure.facecolor": "white", "font.size": 9.5, "font.family": "DejaVu Sans",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#8a8f98",
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.titlepad": 12, "axes.labelcolor": QUIET, "axes.axisbelow": True, "grid.color": GRID,
    "xtick.color": QUIET, "ytick.color": QUIET, "text.color": INK, "text.parse_math": False,
    "hatch.linewidth": 0.6, "hatch.color": "white", "svg.fonttype": "none", "svg.hashsalt": "kit",
}  # fmt: skip
SHADES = mpl.colors.LinearSegmentedColormap.from_list(
    "shades", ["#f3f6f9", "#b9d3e6", "#6ba3cb", "#0067a8", "#06325a"]
)


def looks(clusters: Iterable[str]) -> dict[str, int]:
    """Position of each cluster's colour and marker; own clusters follow the built-in ones."""
    order = list(dict.fromkeys([*CLUSTERS, *map(str, clusters)]))
    return {cluster: place % len(COLOURS) for place, cluster in enumerate(order)}


def when_people_watched(times: pd.DataFrame, ax: Axes | None = None, *, time_zone="UTC") -> Axes:
    """Heat map of when sessions began.

    Parameters
    ----------
    times : DataFrame
        Index weekday ("Mon" to "Sun"), columns hour (0 to 23), values sessions [sessions]; or the
        same in long form: weekday, hour, sessions.
    """
    import seaborn as sns

    ax = _axes(ax, height=3.2)
    if "sessions" in times:
        times = times.pivot_table(index="weekday", columns="hour", values="sessions", aggfunc="sum")
    grid = times.reindex(index=WEEKDAYS, columns=range(24)).fillna(0).to_numpy(dtype=float)
    if not grid.sum():
        return _nothing(ax)
    sns.heatmap(grid, cmap=SHADES, linewidths=1, linecolor="white", cbar=False, ax=ax)
    day, hour = np.unravel_index(grid.argmax(), grid.shape)
    ax.add_patch(plt.Rectangle((hour, day), 1, 1, fill=False, edgecolor=COLOURS[2], linewidth=2))
    for (row, column), value in np.ndenumerate(grid):
        if value >= grid.max() * 0.6:
            place = {"ha": "center", "va": "center"}
            ax.text(column + 0.5, row + 0.5, f"{value:.0f}", size=7, color="white", **place)
    ax.set_yticks(np.arange(7) + 0.5, WEEKDAYS, rotation=0)
    ax.set_xticks(np.arange(0, 24, 3) + 0.5, [f"{hour}:00" for hour in range(0, 24, 3)], rotation=0)
    ax.tick_params(length=0)
    ax.set_xlabel(
        f"hour in which a session began [{time_zone}]; darker is more sessions, "
        "the number stands in the busiest"
    )
    found = f"{grid.max():,.0f} of {grid.sum():,.0f} sessions"
    return _finish(ax, f"Busiest hour: {WEEKDAYS[day]} {hour}:00, {found}")


def completion(sessions: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How much of a video a session sees.

    Parameters
    ----------
    sessions : DataFrame
        Index percent_watched (labels, in order), column sessions [sessions].
    """
    ax = _axes(ax, height=2.8)
    total = int(sessions["sessions"].sum())
    if not total:
        return _nothing(ax)
    shares = sessions["sessions"] / total
    bars = ax.bar(range(len(shares)), shares * 100, color=COLOURS[0], width=0.8)
    ax.bar_label(bars, [whole_percent(share) for share in shares], size=8, padding=2)
    ax.set_xticks(range(len(shares)), [str(name).replace(" ", "\n") for name in shares.index])
    ax.set_xlabel("share of the video watched [%]")
    ax.set_ylabel("sessions [%]")
    to_the_end = whole_percent(shares.iloc[-1])
    return _finish(ax, f"{to_the_end} of {total:,} sessions saw the whole video")


def cluster_sizes(clusters: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of viewers in each cluster with its 95 % interval; the identified part is hatched.

    Parameters
    ----------
    clusters : DataFrame
        cluster (column or index), viewers [viewers], share (0 to 1), identified_viewers; in the
        order of the rules.
    """
    clusters = _flat(clusters)
    ax = _axes(ax, height=0.62 * max(len(clusters), 1) + 1.1)
    total = int(clusters["viewers"].sum())
    if not total:
        return _nothing(ax)
    look = looks(clusters["cluster"])
    for place, row in enumerate(clusters.itertuples()):
        colour, marker = COLOURS[look[row.cluster]], MARKERS[look[row.cluster]]
        low, high = wilson(row.viewers, total)
        ax.barh(place, row.share * 100, color=colour, alpha=0.45, height=0.6)
        known = row.identified_viewers / total * 100
        ax.barh(place, known, color=colour, hatch="////", height=0.6)
        ax.plot([low * 100, high * 100], [place, place], color=INK, linewidth=1.4)
        ax.plot(row.share * 100, place, marker, color=INK, markersize=5)
        words = f"{row.viewers:,} viewers · {whole_percent(row.share)} ({span(low, high)})"
        _beside(ax, high * 100, place, f"{words}\n{row.identified_viewers:,} identified")
    _names_down(ax, clusters["cluster"])
    ax.set_xlim(0, max(clusters["share"].max() * 160, 1))
    ax.set_xlabel(f"share of {total:,} viewers [%], 95 % interval; hatched: identified")
    big = clusters.loc[clusters["viewers"].idxmax()]
    found = f"{whole_percent(big['share'])} of {total:,} viewers"
    return _finish(ax, f"Largest cluster: {_name(big['cluster'])}, {found}")


def completion_by_videos(
    counts: pd.DataFrame, ax: Axes | None = None, *, min_cell: int = 10
) -> Axes:
    """Mean completion against videos watched: a mark per group of viewers, never per viewer.

    Parameters
    ----------
    counts : DataFrame
        cluster, videos [videos; 20 stands for 20 and more], viewers [viewers],
        avg_percent_watched (0 to 100).
    min_cell : int
        Groups of fewer viewers are not drawn.
    """
    ax = _axes(ax, height=4)
    groups = _by_bin(counts, min_cell)
    if groups.empty:
        return _nothing(ax)
    look, labels = looks(groups["cluster"]), []
    total = groups["viewers"].sum()
    for cluster, group in groups.groupby("cluster", sort=False):
        colour, marker = COLOURS[look[cluster]], MARKERS[look[cluster]]
        size = 18 + 500 * group["viewers"] / total
        ax.plot(group["bin"], group["percent"], color=colour, linewidth=1)
        ax.scatter(group["bin"], group["percent"], s=size, marker=marker, color=colour,
                   edgecolor="white", zorder=3)  # fmt: skip
        words = f"{_name(cluster)}, n = {group['viewers'].sum():,}"
        ends = group["bin"].iloc[-1], group["percent"].iloc[-1]
        labels.append((*ends, words, colour))
    ax.set_xticks(range(len(BINS)), BINS.values())
    ax.set_xlim(-0.4, len(BINS) + 1.8)
    ax.set_ylim(0, 104)
    _direct_labels(ax, labels)
    ax.set_xlabel("videos watched [videos]; larger marks are more viewers")
    ax.set_ylabel("mean completion [%]")
    ax.grid(axis="y")
    mean = (groups["percent"] * groups["viewers"]).sum() / total
    return _finish(ax, f"Viewers see {mean:.0f} % of a video on average (n = {total:,})")


def _by_bin(counts: pd.DataFrame, min_cell: int) -> pd.DataFrame:
    """Groups of numbers of videos, so that fewer of them are too small to draw."""
    place = np.searchsorted(list(BINS), counts["videos"], side="right") - 1
    seen = counts["avg_percent_watched"] * counts["viewers"]
    table = counts.assign(bin=place, percent=seen)[["cluster", "bin", "viewers", "percent"]]
    groups = table.groupby(["cluster", "bin"], as_index=False).sum()
    groups["percent"] /= groups["viewers"]
    return groups[groups["viewers"] >= min_cell]


def content_heatmap(affinity: pd.DataFrame, ax: Axes | None = None, *, videos: int = 10) -> Axes:
    """What each cluster watches: share of a cluster's viewers that saw a video.

    Parameters
    ----------
    affinity : DataFrame
        cluster, media_id, title, viewers [viewers], reach (0 to 1); cells under ``min_cell`` are
        left out.
    videos : int
        Most-watched videos to draw.
    """
    shown = affinity.dropna(subset=["reach"])
    rows = min(videos, max(shown["media_id"].nunique(), 3))
    ax = _axes(ax, height=0.36 * rows + 1.4)
    if shown.empty:
        return _nothing(ax, "no video was watched by enough viewers to show")
    top = shown.groupby("media_id", sort=False)["viewers"].sum().nlargest(videos).index
    titles = shown.drop_duplicates("media_id").set_index("media_id")["title"]
    order = looks(shown["cluster"])
    columns = [cluster for cluster in order if cluster in set(shown["cluster"])]
    grid = shown.pivot(index="media_id", columns="cluster", values="reach")
    grid = grid.reindex(index=top, columns=columns)
    _cells(ax, grid * 100, "{:.0f} %", blank="few")
    ax.set_yticks(np.arange(len(grid)) + 0.5, map(_in_two_lines, titles[grid.index]))
    ax.set_xticks(np.arange(len(columns)) + 0.5, map(_stacked, columns))
    ax.set_xlabel("share of the cluster's viewers who saw the video [%]")
    drawn = shown[shown["media_id"].isin(top)]
    best = drawn.loc[drawn["reach"].idxmax()]
    found = f"{whole_percent(best['reach'])} of {_name(best['cluster'])}"
    return _finish(ax, f"{found} saw “{_clip(best['title'], 70)}”", width=56)


def sessions_over_time(counts: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Sessions by day or week.

    Parameters
    ----------
    counts : DataFrame
        Index ``day`` or ``week`` (its first UTC day), column sessions [sessions].
    """
    ax = _axes(ax, height=2.6)
    if counts.empty or not counts["sessions"].sum():
        return _nothing(ax)
    unit = counts.index.name
    days, sessions = pd.to_datetime(counts.index), counts["sessions"].to_numpy()
    ax.fill_between(days, sessions, step="mid", color=COLOURS[0], alpha=0.25)
    ax.step(days, sessions, where="mid", color=COLOURS[0], linewidth=1.4)
    top = int(sessions.argmax())
    style = {"textcoords": "offset points", "ha": "center", "size": 8.5}
    ax.annotate(f"{sessions[top]:,}", (days[top], sessions[top]), (0, 4), **style)
    ax.xaxis.set_major_formatter(mpl.dates.ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.set_ylim(0, sessions.max() * 1.12)
    ax.set_ylabel(f"sessions a {unit}")
    ax.set_xlabel("UTC day" if unit == "day" else "first day of the week [UTC]")
    return _finish(ax, f"Busiest {unit}: {days[top].date()}, {sessions[top]:,} sessions")


def _axes(ax: Axes | None, *, height: float) -> Axes:
    mpl.rcParams.update(STYLE)
    if ax is None:
        ax = plt.figure(figsize=(8, height), layout="constrained").add_subplot()
    _keep_alt_text()
    return ax


def _nothing(ax: Axes, words: str = "no viewers in the window") -> Axes:
    """An axis that says why it is empty."""
    ax.set_axis_off()
    place = {"transform": ax.transAxes, "ha": "center", "va": "center"}
    ax.text(0.5, 0.5, words, color=QUIET, **place)
    ax.figure.set_label(words[0].upper() + words[1:] + ".")
    return ax


def _finish(ax: Axes, finding: str, *, width: int = 84) -> Axes:
    ax.set_title(textwrap.fill(finding, width))  # wrap=True would take dollars for a formula
    ax.figure.set_label(f"{finding}.")
    return ax


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if "cluster" in frame else frame.reset_index()


def _names_down(ax: Axes, clusters: pd.Series) -> None:
    ax.set_yticks(range(len(clusters)), map(_name, clusters))
    ax.set_ylim(len(clusters) - 0.5, -0.5)


def _beside(ax: Axes, x: float, y: float, words: str) -> None:
    style = {"textcoords": "offset points", "va": "center", "size": 8.5}
    ax.annotate(words, (x, y), (8, 0), **style)


def _cells(ax: Axes, grid: pd.DataFrame, form: str, *, blank: str) -> None:
    """A shaded table: the number in each cell is the second cue."""
    values = grid.to_numpy(dtype=float, na_value=np.nan)
    top = np.nanmax(values) or 1
    ax.pcolormesh(np.nan_to_num(values), cmap=SHADES, vmin=0, vmax=top, edgecolors="white", lw=1.5)
    for (row, column), value in np.ndenumerate(values):
        words = blank if np.isnan(value) else form.format(value)
        style = {"size": 8.5, "ha": "center", "va": "center"}
        colour = "white" if value > top * 0.55 else INK
        ax.text(column + 0.5, row + 0.5, words, color=colour, **style)
    ax.invert_yaxis()
    ax.tick_params(length=0)


def _direct_labels(ax: Axes, labels: list[tuple[float, float, str, str]]) -> None:
    """Write the name of each line at the right, clear of the other lines and of each other."""
    last = -np.inf
    for place, height, words, colour in sorted(labels, key=lambda label: label[1]):
        last = max(height, last + 7)
        line = {"arrowstyle": "-", "color": colour, "lw": 0.7, "ls": ":", "shrinkB": 6}
        style = {"color": colour, "va": "center", "size": 8.5, "weight": "bold"}
        away = (len(BINS) - 0.6, last)
        ax.annotate(words, (place, height), away, arrowprops=line, **style)


def _name(cluster: str) -> str:
    return str(cluster).replace("_", " ")


def _stacked(cluster: str) -> str:
    return _name(cluster).replace(" ", "\n")


def _clip(text: str, length: int) -> str:
    return str(text) if len(str(text)) <= length else str(text)[: length - 1] + "…"


def _in_two_lines(text: str) -> str:
    return textwrap.fill(str(text), 40, max_lines=2, placeholder="…")


def _keep_alt_text() -> None:
    """In a notebook, store the figure's finding as the alt text of its image."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return
    from IPython.core.pylabtools import print_figure

    def png(figure: Figure) -> tuple[str, dict]:
        image = print_figure(figure, fmt="png", bbox_inches="tight", dpi=SHARP * figure.dpi)
        small, (width, height) = _few_colours(image)
        alt = figure.get_label() or "Figure without a description"
        return small, {"alt": alt, "width": width // SHARP, "height": height // SHARP}

    shell.display_formatter.formatters["image/png"].for_type(Figure, png)


def _few_colours(png: bytes) -> tuple[str, tuple[int, int]]:
    """The image at a third of its bytes, in base64, and its size; flat areas need few colours."""
    from PIL import Image

    image, small = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    few = image.quantize(256, dither=Image.Dither.NONE)
    few.save(small, "png", optimize=True)
    return base64.encodebytes(small.getvalue()).decode("ascii"), image.size
