"""Where each cluster came from: pages and campaigns that brought it more than other viewers."""

import pandas as pd

from helpers.findings.preference import choose_period, find_preferences, publish_shares, sum_choices
from helpers.findings.section import Section, make_section
from helpers.store.engine import Engine, sql
from helpers.store.rules import ClusterRules


def compare_sources(engine: Engine, rules: ClusterRules, min_cell: int) -> Section:
    """Which pages and campaigns bring one cluster more than others, by preference.

    Parameters
    ----------
    engine : Engine
        With viewers and sessions.

    Returns
    -------
    Section
        A row for each cell that stands out: kind (page, utm_source, utm_medium, utm_campaign),
        value, cluster, viewers [published], share and share_of_all [0 to 1], preference with low
        and high [times], q_value. Part all: the same of every cell that may be shown.
    """
    days = {"days": choose_period(engine)}
    viewers = engine.counts(sql("viewer_choices"), days)
    viewers = viewers.assign(stratum="all", number="1", choices=viewers["viewers"])
    chosen = engine.counts(sql("first_sources"), days).assign(stratum="all")
    sizes, cells = sum_choices(viewers, chosen)
    kinds = cells["value"].str.split(" ").str[0]
    shown = publish_shares(cells.assign(kind=kinds), sizes, min_cell)
    clear = _with_kinds(find_preferences(chosen, viewers, shown, min_cell))
    listed = _with_kinds(shown).sort_values(["kind", "value", "cluster"], ignore_index=True)
    parts = {"all": make_section("all_sources", listed)}
    return make_section("sources", clear, parts, listed=len(listed), titles=rules.titles)


def _with_kinds(frame: pd.DataFrame) -> pd.DataFrame:
    kind, value = frame["value"].str.split(" ", n=1, expand=True).reindex(columns=[0, 1]).T.values
    return frame.assign(kind=kind, value=value)
