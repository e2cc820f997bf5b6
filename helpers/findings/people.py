"""Who is worth a call, at how many companies, and how long people watched: counts alone."""

import pandas as pd

from helpers.findings.counts import LEAST_STEP, publish, publish_counts, publish_parts, with_share
from helpers.findings.scoring import FULL_DEPTH, FULL_VISITS
from helpers.findings.section import Section, make_section
from helpers.store.engine import Engine, sql
from helpers.store.rules import ClusterRules, Scores

CUTS = (30, 40, 50, 60, 70, 80)  # scores at which the list's length and its catch are shown
SIZES = {"1": (1, 1), "2–4": (2, 4), "5 and more": (5, 10**9)}  # people of a company


def list_people(
    engine: Engine, rules: ClusterRules, people: pd.DataFrame, *, min_cell: int
) -> Section:
    """Who is worth a call, by cluster: counts alone, the names stand in private files.

    Parameters
    ----------
    people : DataFrame
        Of :func:`read_people`.

    Returns
    -------
    Section
        table: cluster, people, to_call, seen_7_days; no row where people are hidden. Parts:
        companies (by their number of people), catch (how many people with a click a list of each
        length holds), watch_time (minutes by cluster; its part videos: by video).
    """
    marks = people.assign(people=1, seen_7_days=people["days"] <= 7).groupby("cluster")
    counted = marks[["people", "to_call", "seen_7_days"]].sum()
    counted = counted.reindex(rules.names, fill_value=0).astype(int)
    of = counted["people"]
    shown = publish_parts(of, len(people), min_cell)
    listed = shown.notna()  # identified viewers are exact, and most people are one viewer
    table = counted.assign(people=shown)
    for name in ("to_call", "seen_7_days"):
        table[name] = publish_parts(counted[name], of, min_cell, known=False, listed=listed)
    parts = {
        "companies": count_companies(people, min_cell=min_cell),
        "catch": count_catch(people, rules.scores, min_cell=min_cell),
        "watch_time": sum_watch_time(engine, rules, min_cell=min_cell),
    }
    opted_out = int(people["opted_out"].sum())
    words = {"people": len(people), "call": int(people["to_call"].sum()), "opted_out": opted_out}
    words["told_out"] = publish(opted_out, of=len(people), min_cell=min_cell)
    words |= {"scores": rules.scores, "full_depth": FULL_DEPTH, "full_visits": FULL_VISITS}
    table = table[listed].dropna(axis=1, how="all").rename_axis("cluster").reset_index()
    return make_section("people", table, parts, min_cell=min_cell, **words)


def count_companies(people: pd.DataFrame, *, min_cell: int) -> Section:
    """Companies by their number of people on the list; their names stand in a private file.

    Returns
    -------
    Section
        table: size (text), companies [published counts]; what is hidden has no row.
    """
    sizes = people[~people["opted_out"] & ~people["free_mail"]].groupby("domain").size()
    counted = pd.Series({name: int(sizes.between(*ends).sum()) for name, ends in SIZES.items()})
    shown = publish_parts(counted, len(sizes), min_cell).rename("companies").rename_axis("size")
    if not shown.fillna(0).any():
        shown = shown[:0]
    return make_section("companies", shown.dropna().reset_index(), companies=len(sizes))


def count_catch(people: pd.DataFrame, scores: Scores, *, min_cell: int) -> Section:
    """How many people a list of each least score holds, and how many of those with a click.

    Returns
    -------
    Section
        table: score, people and clicked (with a click) [published counts], caught (0 to 1 of all
        people with one), caught_by_rest (the same by the score without its points for clicks, on
        the same scale).
    """
    clicked = people["clicked"].astype(bool)
    most = max(100 - scores.weights.clicks, 1e-9)  # points that there are without clicks
    score = people["score"]
    rest = (score - people["clicks_points"]) * 100 / most
    counted = {"people": score, "clicked": score[clicked], "by_rest": rest[clicked].round(1)}
    table = pd.DataFrame({"score": CUTS})
    for name, values in counted.items():
        high = pd.Series([int((values >= cut).sum()) for cut in CUTS])
        table[name] = publish_counts(high, len(values), min_cell, known=False)
    total = publish(int(clicked.sum()), of=len(people), min_cell=min_cell) or pd.NA
    table["caught"] = (table["clicked"] / total).astype(float)
    # Without the people to call: their number is exact, and would tell hidden ones beside it.
    table["caught_by_rest"] = (table.pop("by_rest") / total).astype(float)
    return make_section("catch", table[(table["people"] > 0) & table["clicked"].fillna(0).any()])


def sum_watch_time(engine: Engine, rules: ClusterRules, *, min_cell: int) -> Section:
    """Minutes watched by cluster, and by video.

    Returns
    -------
    Section
        table: cluster, minutes [of min_cell viewers or more, who left as much as min_cell videos
        unseen, together], minutes_per_viewer [mean of viewers whose videos have a known length],
        known (0 to 1 of sessions: those whose video has a known length). Part videos: by media_id
        and title, its minutes, those of its published viewers, rounded to multiples of five times
        its length.
    """
    summed = engine.counts(sql("watch_time"))
    if not summed["known_sessions"].any():
        return Section("No length of a video is known: watch time cannot be told.")
    of_clusters = summed[summed["media_id"].isna()]
    everybody = int(of_clusters["viewers"].sum())
    shown = summed.assign(viewers=publish_counts(summed["viewers"], everybody, min_cell))
    timed = publish_counts(summed["timed_viewers"], summed["viewers"], min_cell)
    few = shown["viewers"].isna() & summed["viewers"].lt(min_cell) | summed["known_sessions"].eq(0)
    # Where nearly all is seen to the end, lengths and minutes would tell who saw what.
    few |= summed["unseen"].lt(min_cell) & (min_cell > 1)
    mean = (summed["minutes"] / summed["timed_viewers"]).mask(few | timed.isna())
    shown["minutes_per_viewer"] = mean.round(1)
    shown["minutes"] = summed["minutes"].mask(few).round()
    for name in ("known_sessions", "sessions"):
        shown[name] = publish_counts(summed[name], summed["sessions"], min_cell, known=False)
    shown = with_share(shown, "known_sessions", "sessions", "known", interval=False)
    clusters = shown.dropna(subset="cluster").set_index("cluster").reindex(rules.names)
    shown["minutes"] = shown["viewers"].astype(float) * (summed["minutes"] / summed["viewers"])
    videos = shown.dropna(subset="media_id").merge(engine.query("FROM titles"), on="media_id")
    if min_cell > 1:  # in times of five viewers who see it whole: a sum would tell hidden ones
        whole = LEAST_STEP * videos["duration"] / 60
        videos["minutes"] = ((videos["minutes"] / whole).round() * whole).round()
    hours = of_clusters["minutes"].sum() / 60
    videos = videos.sort_values(["minutes", "media_id"], ascending=[False, True])
    by_video = make_section("watch_time_videos", videos)  # no mean: it would give the viewers
    parts = {"videos": by_video} if videos["minutes"].notna().any() else {}
    return make_section("watch_time", clusters.dropna(how="all").reset_index(), parts, hours=hours)
