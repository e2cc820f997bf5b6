"""One look for a cluster in every figure: a colour, and a marker as a second cue."""

from __future__ import annotations

from collections.abc import Iterable

CLUSTERS = ("binge_watchers", "engaged_explorers", "bouncers", "skimmers", "casual_viewers")
"""The built-in clusters, which keep their look whatever else a clusters file adds."""

COLOURS = ("#0067a8", "#00785a", "#b3540a", "#a1437c", "#5c6470", "#806000", "#5a55b8", "#9a3324")
"""Okabe and Ito's colour-blind-safe hues, darkened to 4.5:1 against white."""

DARK = ("#62b5ea", "#35c495", "#f0a158", "#e39cc4", "#a9b1bd", "#d9b443", "#a9a5f2", "#f09484")
"""The same hues for a dark page."""

MARKERS = ("o", "s", "v", "D", "^", "P", "X", "p")
"""Matplotlib's markers; the report draws the same shapes."""


def looks(clusters: Iterable[str]) -> dict[str, int]:
    """Position of each cluster's colour and marker; own clusters follow the built-in ones."""
    order = list(dict.fromkeys([*CLUSTERS, *map(str, clusters)]))
    return {cluster: place % len(COLOURS) for place, cluster in enumerate(order)}
