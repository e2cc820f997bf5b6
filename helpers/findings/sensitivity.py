"""How many viewers sit within a step of a threshold: how far the clusters depend on the rules."""

import pandas as pd

from helpers.findings.counts import publish, publish_counts
from helpers.findings.section import Section, make_section
from helpers.store.conditions import COLUMNS
from helpers.store.engine import Engine
from helpers.store.rules import ClusterRules

PERCENT_STEP, COUNT_STEP = 5.0, 1.0
EQUALITIES = ("=", "<>")  # they name a kind of viewer, and are no threshold


def count_near_thresholds(engine: Engine, rules: ClusterRules, min_cell: int) -> Section:
    """How many viewers would change cluster if a threshold moved by a step, either way.

    Parameters
    ----------
    engine : Engine
        With viewers.

    Returns
    -------
    Section
        A row per threshold: cluster, column, threshold, step (1 for counts, 5 points for
        percents), lowered, raised [published viewers that move]; one with a hidden count has no
        row, for means of small clusters would tell it.
    """
    rows, moved, base = [], {}, rules.case_sql()
    for cluster, column, comparison, value in rules.thresholds():
        if comparison in EQUALITIES:
            continue
        step = COUNT_STEP if COLUMNS[column] == "BIGINT" else PERCENT_STEP
        for name, changed in (("lowered", value - step), ("raised", value + step)):
            other = rules.replace(cluster, column, changed, was=value).case_sql()
            moved[f"{name}_{len(rows)}"] = f"({other}) <> ({base})"
        rows.append((cluster, column, value, step))
    frame = pd.DataFrame(rows, columns=["cluster", "column", "threshold", "step"])
    if not rows:
        return Section("The rules have no thresholds.")
    sums = [f"count(*) FILTER ({condition}) AS {name}" for name, condition in moved.items()]
    sums += [f"count(*) FILTER ({' OR '.join(moved.values())}) AS near", "count(*) AS viewers"]
    counted = engine.counts(f"SELECT {', '.join(sums)} FROM viewers").iloc[0].astype("int64")
    viewers = int(counted["viewers"])
    for name in ("lowered", "raised"):
        frame[name] = publish_counts(counted.filter(like=f"{name}_"), viewers, min_cell).array
    near = publish(int(counted["near"]), of=viewers, min_cell=min_cell)
    return make_section("sensitivity", frame.dropna(), viewers=viewers, near=near)
