"""Figures in one style: each takes a ready frame, draws one axis and returns it.

Every cluster keeps its colour in all figures; names and numbers stand beside what they belong to.
The title of a figure is its finding, which is also its alt text. An empty frame gives an axis that
says why it is empty; a hidden count is a gap, or "few".
"""

import base64
import io
import textwrap
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.core.tables import clock, show_as, span, whole_percent
from helpers.findings.counts import with_share

CLUSTERS = ("binge_watchers", "engaged_explorers", "bouncers", "skimmers", "casual_viewers")
"""The built-in clusters, which keep their look whatever else a clusters file adds."""

COLOURS = ("#0067a8", "#00785a", "#b3540a", "#a1437c", "#5c6470", "#806000", "#5a55b8", "#9a3324")
"""Okabe and Ito's colour-blind-safe hues, darkened to 4.5:1 against white."""

DARK = ("#62b5ea", "#35c495", "#f0a158", "#e39cc4", "#a9b1bd", "#d9b443", "#a9a5f2", "#f09484")
"""The same hues for a dark page."""

BINS = {1: "1", 2: "2", 3: "3–4", 5: "5–9", 10: "10–19", 20: "20+"}  # videos of a viewer
INK, QUIET = "#1b1e24", "#3d424b"
STYLE = Path(__file__).with_name("plots.mplstyle")
SHADES = mpl.colors.LinearSegmentedColormap.from_list(
    "shades", ["#f3f6f9", "#b9d3e6", "#6ba3cb", "#0067a8", "#06325a"]
)


def looks(clusters: Iterable[str]) -> dict[str, int]:
    """Position of each cluster's colour; own clusters follow the built-in ones."""
    order = list(dict.fromkeys([*CLUSTERS, *map(str, clusters)]))
    return {cluster: place % len(COLOURS) for place, cluster in enumerate(order)}


def trend(counts: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Counts over time, a line each.

    Parameters
    ----------
    counts : DataFrame
        Index the first UTC day of each ``day``, ``week`` or ``month``; columns are counts, such as
        viewers and people. A hidden one is a gap.
    """
    ax = _axes(ax, height=2.8)
    lines = counts.astype(float)
    if not lines.sum().sum():
        return _nothing(ax)
    unit, days = lines.index.name, pd.to_datetime(lines.index)
    for name, colour, style in zip(lines, COLOURS, ("-", "--", ":", "-."), strict=False):
        ax.plot(days, lines[name], style, color=colour, linewidth=1.8, label=name)
    ax.legend(frameon=False, ncols=lines.shape[1])
    ax.xaxis.set_major_formatter(mpl.dates.ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.set_ylim(0)
    ax.grid(axis="y", color="#e3e6ea")
    ax.set(xlabel=f"first UTC day of the {unit}", ylabel=f"{' and '.join(lines)} in a {unit}")
    first = lines.iloc[:, 0]
    day = days[first.argmax()]
    finding = f"Most {first.name} in a {unit}: {first.max():,.0f}, from {day.day} {day:%b %Y}"
    return _finish(ax, finding)


def when_people_watched(
    times: pd.DataFrame, ax: Axes | None = None, *, time_zone: str = "UTC"
) -> Axes:
    """Heat map of the hours in which people watched.

    Parameters
    ----------
    times : DataFrame
        Index weekday ("Mon" to "Sun"), columns hour (0 to 23), values viewers [viewers]. A hidden
        count is missing.
    """
    ax = _axes(ax, height=3)
    grid = times.astype(float)
    if not grid.sum().sum():
        return _nothing(ax)
    _shade(ax, grid, form="{:.0f}", hidden="")
    ax.set_xlabel(f"hour of the day [{time_zone}]; viewers in each hour of the week")
    return _finish(ax, f"Up to {grid.max().max():.0f} viewers in one hour of the week")


def completion(sessions: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How much of a video a session sees.

    Parameters
    ----------
    sessions : DataFrame
        Index percent_watched (labels, in order), column share (0 to 1 of all sessions). A hidden
        one is missing.
    """
    ax = _axes(ax, height=2.8)
    shares = sessions["share"].astype(float)
    if not shares.sum():
        return _nothing(ax)
    bars = ax.bar(range(len(shares)), shares.fillna(0) * 100, color=COLOURS[0])
    words = shares.map(whole_percent).where(shares.notna(), "few")
    ax.bar_label(bars, words, size=8, padding=2)
    ax.set_xticks(range(len(shares)), [str(name).replace(" ", "\n") for name in shares.index])
    ax.set(xlabel="share of the video watched [%]", ylabel="sessions [%]")
    if shares.isna().iloc[-1]:
        return _finish(ax, "Sessions by the share of the video that they saw")
    return _finish(ax, f"{whole_percent(shares.iloc[-1])} of sessions saw the whole video")


def cluster_sizes(clusters: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of viewers in each cluster with its 95 % interval; the identified part is hatched.

    Parameters
    ----------
    clusters : DataFrame
        Index cluster in the order of the rules; viewers [viewers], share (0 to 1),
        identified_viewers [viewers].
    """
    ax = _axes(ax, height=0.62 * max(len(clusters), 1) + 1.1)
    total = int(clusters["viewers"].sum())
    if not total:
        return _nothing(ax)
    look = looks(clusters.index)
    bars = {"color": [COLOURS[look[name]] for name in clusters.index], "height": 0.6}
    ax.barh(range(len(clusters)), clusters["share"] * 100, alpha=0.45, **bars)
    identified = clusters["identified_viewers"] / total * 100
    ax.barh(range(len(clusters)), identified, hatch="////", **bars)
    shown = with_share(clusters.assign(total=total), "viewers", "total")
    for place, row in enumerate(shown.itertuples()):
        low, high = row.share_low, row.share_high
        ax.plot([low * 100, high * 100], [place, place], "|-", color=INK, linewidth=1.4)
        words = f"{row.viewers:,} viewers · {whole_percent(row.share)} ({span(low, high)})"
        words += f"\n{row.identified_viewers:,} identified"
        ax.text(high * 100 + 0.8, place, words, va="center", size=8.5)
    ax.set_yticks(range(len(clusters)), map(_name, clusters.index))
    ax.invert_yaxis()
    ax.set_xlim(0, clusters["share"].max() * 160)
    ax.set_xlabel(f"share of {total:,} viewers [%], 95 % interval; hatched: identified")
    largest = clusters["viewers"].idxmax()
    share = whole_percent(clusters["share"][largest])
    return _finish(ax, f"Largest cluster: {_name(largest)}, {share} of {total:,} viewers")


def completion_by_videos(completion: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Mean completion by cluster and number of videos, never of a single viewer.

    Parameters
    ----------
    completion : DataFrame
        cluster, videos (the least of a group: 1, 2, 3, 5, 10 or 20), avg_percent_watched (0 to
        100); groups that may not be shown are left out.
    """
    ax = _axes(ax, height=0.42 * completion["cluster"].nunique() + 1.5)
    if completion.empty:
        return _nothing(ax)
    percent = completion.set_index(["cluster", "videos"])["avg_percent_watched"]
    grid = percent.unstack().reindex(index=_in_order(completion["cluster"]), columns=BINS)
    _shade(ax, grid.rename(index=_name, columns=BINS), hidden="")
    ax.set_xlabel("videos watched; mean completion [%], blank for few viewers, or all but few")
    cluster, videos = percent.idxmax()
    who = f"{_name(cluster)} of {BINS[videos]} video{'s' if videos > 1 else ''}"
    return _finish(ax, f"Most of a video is seen by {who}: {percent.max():.0f} %")


def content_heatmap(affinity: pd.DataFrame, ax: Axes | None = None, *, videos: int = 10) -> Axes:
    """What each cluster watches: share of a cluster's viewers that saw a video.

    Parameters
    ----------
    affinity : DataFrame
        cluster, media_id, title, viewers [viewers], reach (0 to 1); cells under ``min_cell`` are
        missing or left out.
    videos : int
        Most-watched videos to draw.
    """
    shown = affinity.dropna(subset=["reach"])
    ax = _axes(ax, height=0.38 * min(videos, max(shown["media_id"].nunique(), 3)) + 1.4)
    if shown.empty:
        return _nothing(ax, "no video was watched by enough viewers to show")
    top = shown.groupby("media_id", sort=False)["viewers"].sum().nlargest(videos).index
    drawn = shown[shown["media_id"].isin(top)]
    titles = drawn.drop_duplicates("media_id").set_index("media_id")["title"][top]
    grid = drawn.pivot(index="media_id", columns="cluster", values="reach")
    grid = grid.loc[top, _in_order(drawn["cluster"])]
    grid.index = [textwrap.fill(title, 40, max_lines=2, placeholder="…") for title in titles]
    _shade(ax, grid.rename(columns=lambda name: _name(name).replace(" ", "\n")) * 100)
    ax.set_xlabel("share of the cluster's viewers who saw the video [%]; few: or all but few")
    best = drawn.loc[drawn["reach"].idxmax()]
    title = textwrap.shorten(best["title"], 50, placeholder="…")
    finding = f"{whole_percent(best['reach'])} of {_name(best['cluster'])} saw “{title}”"
    return _finish(ax, finding, 48)


def retention_curves(curves: pd.DataFrame, drops: pd.DataFrame, peaks: pd.DataFrame) -> Axes | None:
    """Who is still watching, by second: a small figure for each video, drops and peaks marked.

    Parameters
    ----------
    curves : DataFrame
        media_id, title, second [s], watching and rewatched (0 to 1 of the first second).
    drops : DataFrame
        media_id, second [s], lost and left (0 to 1).
    peaks : DataFrame
        media_id, second [s], rewatched and left (0 to 1).

    Returns
    -------
    Axes of the first video, or None: without a curve nothing is drawn
    """
    if curves.empty:
        return None
    _set_style()
    videos = [curve for _, curve in curves.groupby("media_id", sort=False)]
    rows = -(-len(videos) // 2)
    figure, grid = plt.subplots(rows, 2, figsize=(8, 1.9 * rows), sharey=True, layout="constrained")
    for ax in grid.flat[len(videos) :]:
        ax.set_axis_off()
    for ax, curve in zip(grid.flat, videos, strict=False):
        ax.plot(curve["second"], curve["watching"] * 100, color=COLOURS[0])
        ax.fill_between(curve["second"], curve["rewatched"] * 100, color=COLOURS[4], alpha=0.5)
        for places, marker, colour in ((drops, "v", COLOURS[2]), (peaks, "^", COLOURS[4])):
            for place in places[places["media_id"] == curve["media_id"].iloc[0]].itertuples():
                ax.axvline(place.second, color=colour, linewidth=0.8, linestyle=":")
                ax.plot(place.second, place.left * 100, marker, color=colour, markersize=5)
                ax.text(place.second, 96, f" {clock(place.second)}", size=8, color=colour, va="top")
        ax.set_title(textwrap.shorten(curve["title"].iloc[0], 48, placeholder="…"), size=9, pad=4)
        end = curve["second"].max() or 1
        ax.set(ylim=(0, 102), xlim=(0, end))
        if end > 180:
            ax.xaxis.set_major_locator(mpl.ticker.MultipleLocator(60 * -(-end // 300)))
        ax.xaxis.set_major_formatter(lambda second, _: clock(second))
    figure.supylabel("still watching [%]; grey: watched again", size=9)
    figure.supxlabel("place in the video [m:ss]", size=9)
    places = [f"{clock(drop.second)} of {drop.title}" for drop in drops.itertuples()]
    figure.set_label(f"Drops: {', '.join(places) or 'none'}.")
    return grid.flat[0]


def _axes(ax: Axes | None, *, height: float) -> Axes:
    _set_style()
    return ax or plt.figure(figsize=(8, height), layout="constrained").add_subplot()


def _nothing(ax: Axes, words: str = "no viewers in the window, or too few to show") -> Axes:
    """An axis that says why it is empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, words, color=QUIET, transform=ax.transAxes, ha="center", va="center")
    ax.figure.set_label(f"{words.capitalize()}.")
    return ax


def _finish(ax: Axes, finding: str, width: int = 72) -> Axes:
    ax.set_title(textwrap.fill(finding, width))  # wrap=True would take dollars for a formula
    ax.figure.set_label(f"{finding}.")
    return ax


def _shade(ax: Axes, grid: pd.DataFrame, *, form: str = "{:.0f} %", hidden: str = "few") -> None:
    """A shaded table of a grid under its own names; the number in a cell is the second cue."""
    import seaborn as sns

    values = grid.astype(float)
    words = values.map(lambda value: hidden if np.isnan(value) else form.format(value))
    style = {"cmap": SHADES, "vmin": 0, "linewidths": 1, "linecolor": "white", "cbar": False}
    numbers = {"annot": words, "fmt": "", "annot_kws": {"size": 8}}
    sns.heatmap(values.fillna(0), ax=ax, **style, **numbers)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0, rotation=0)


def _in_order(clusters: pd.Series) -> list[str]:
    return sorted(clusters.unique(), key=looks(clusters).__getitem__)


def _name(cluster: str) -> str:
    return str(cluster).replace("_", " ")


def _set_style() -> None:
    """The one style; in a notebook, the figure's finding is the alt text of its image."""
    plt.style.use([STYLE, {"text.color": INK}])

    def png(figure: Figure) -> tuple[str, dict]:
        from IPython.core.pylabtools import retina_figure

        image, size = retina_figure(figure, bbox_inches="tight")
        alt = figure.get_label() or "Figure without a description"
        return _few_colours(image), {"alt": alt, **size}

    show_as("image/png", Figure, png)


def _few_colours(png: bytes) -> str:
    """The image at a third of its bytes, in base64; flat areas need few colours."""
    from PIL import Image

    image, small = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return base64.encodebytes(small.getvalue()).decode("ascii")
