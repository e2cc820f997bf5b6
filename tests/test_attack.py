"""What is published, attacked: from all tables together no hidden count can be found.

Every count of the tables is an unknown whole number. What a reader knows is linear: the door's
rounding and hiding, exact totals, sums over rows and margins, means times sizes, the run before. An
integer programme gives the least and the most that each hidden count may be; the truth, from the
store, fulfils every relation, so the attack itself is right.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from helpers import cluster as stage
from notebooks import run_real

LEAST, STEP = 10, 5  # min_cell, and what counts are multiples of
MANY = 10_000
MOST_COUNTRIES, MOST_SENT = 10, 3  # in a table of notebook 02, of a cluster in the question
VALUES = 3  # that stay possible for a hidden count
COMPANIES = {"1": (1, 1), "2–4": (2, 4), "5 and more": (5, np.inf)}
NUMBERS = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "4": (4, 4), "5–9": (5, 9), "10–49": (10, 49),
           "50+": (50, np.inf)}  # fmt: skip
MOVED_BY_A_VIDEO = (
    ("binge_watchers", "raised", "binge_watchers", 5),
    ("engaged_explorers", "lowered", "casual_viewers", 2),
    ("engaged_explorers", "raised", "engaged_explorers", 3),
    ("skimmers", "raised", "skimmers", 2),
)
"""By whose rule on video_count, which way, viewers move: those of a cluster and so many videos."""


class Attack:
    """Unknown counts by name, what is published of them, and what is known to add up."""

    def __init__(self):
        self.places, self.low, self.high, self.truth, self.whole = {}, [], [], [], []
        self.relations, self.hidden = [], []

    def unknown(self, name, truth, low=0.0, high=MANY, *, whole=True):
        assert name not in self.places, name
        assert low <= truth <= high, f"untrue: {low} <= {name} <= {high}: {truth}"
        self.places[name] = len(self.places)
        for values, value in zip((self.low, self.high, self.truth, self.whole),
                                 (low, high, truth, whole), strict=True):  # fmt: skip
            values.append(float(value))

    def relate(self, terms: dict, low=-math.inf, high=math.inf):
        """Low and high of a sum of unknowns, each times a number."""
        self.relations.append((terms, low, high))
        value = sum(factor * self.truth[self.places[name]] for name, factor in terms.items())
        assert low - 1e-6 <= value <= high + 1e-6, (
            f"untrue: {low} <= {str(terms)[:200]} <= {high}: {value}"
        )

    def equal(self, names, total):
        """Unknowns add up to a number or to another unknown."""
        terms = dict.fromkeys(names, 1.0)
        if isinstance(total, int | float):
            return self.relate(terms, total, total)
        return self.relate(terms | {total: -1.0}, 0, 0)

    def at_most(self, name, other):
        self.relate({name: 1.0, other: -1.0}, high=0)

    def within(self, names, whole):
        """Unknowns, of which nobody is in two, are together at most a number."""
        self.relate(dict.fromkeys(names, 1), high=whole)

    def count(self, name, shown, truth, of, *, listed=True, veiled=False, lost=False):
        """A count as the door lets it through, of a number or of another unknown.

        Not listed: a row that is not there, so few viewers. Veiled: of a column that is hidden
        whole, so that a hidden count may be any. Lost: of a row or a column that is left out for
        what exact numbers would tell of it; nothing is shown there, so there is nothing hidden.
        """
        known = isinstance(of, int)
        whole = of if known else MANY
        if whole == 0:  # nobody is there to be found
            self.unknown(name, 0, 0, 0)
        elif veiled or lost:
            self.unknown(name, truth, 0, whole)
            self.hidden += [name] * (not lost)
        elif not listed:
            self.unknown(name, truth, 0, min(LEAST - 1, whole))
            self.hidden.append(name)
        elif shown is not None and not pd.isna(shown):
            assert shown % STEP == 0 or shown == of, f"{name}: {shown} of {of} is as counted"
            low, high = max(shown - STEP // 2, LEAST), min(shown + STEP // 2, whole)
            if known and low > of - LEAST:  # nearly all would be hidden: it is all
                low = high = of
            self.unknown(name, truth, low if shown else 0, high if shown else 0)
        else:
            self.unknown(name, truth, 1, whole)
            self.hidden.append(name)
            near = ("nearly all", *name)  # 1: all but a few, 0: a few
            least = {name: 1.0} | ({} if known else {of: -1.0})
            self.unknown(near, float(truth >= LEAST), 0, 1)
            self.relate({name: 1.0, near: -MANY}, high=LEAST - 1)
            self.relate(least | {near: -MANY}, low=(of if known else 0) - LEAST + 1 - MANY)
            self.relate(least | {near: MANY}, high=(of if known else 0) - 1 + MANY)
        if not known:
            self.at_most(name, of)

    def solve(self) -> pd.DataFrame:
        """Least and most of each hidden count, index its name."""
        rows = [(row, self.places[name], factor) for row, (terms, *_) in enumerate(self.relations)
                for name, factor in terms.items()]  # fmt: skip
        row, column, factor = map(np.array, zip(*rows, strict=True))
        shape = len(self.relations), len(self.places)
        matrix = csr_array((factor, (row, column)), shape)
        low, high = np.array([ends for _, *ends in self.relations]).T
        parts = connected_components(abs(matrix).T @ abs(matrix), directed=False)[1]
        bounds, whole = np.array([self.low, self.high]), np.array(self.whole)
        found = {}
        for name in self.hidden:
            inside = np.flatnonzero(parts == parts[self.places[name]])
            own = np.unique(row[np.isin(column, inside)])
            goal = (inside == self.places[name]).astype(float)
            ends = []
            for sign in (1, -1):
                done = milp(
                    sign * goal, integrality=whole[inside], bounds=Bounds(*bounds[:, inside]),
                    constraints=[LinearConstraint(matrix[own][:, inside], low[own], high[own])]
                    if len(own) else [],
                )  # fmt: skip
                assert done.success, (name, done.message)
                ends.append(round(sign * done.fun))
            found[name] = [*ends, self.truth[self.places[name]]]
        return pd.DataFrame.from_dict(found, orient="index", columns=["least", "most", "truth"])


def called(people: pd.DataFrame) -> pd.Series:
    """Who of a list of people is worth a call."""
    return people["to call"].astype(str).str.lower().isin(["true", "yes", "1"])


class Published:
    """What a run publishes, put to the attack table by table, each with the true counts."""

    def __init__(self, attack: Attack, folder: Path):
        self.attack, self.folder, self.tag = attack, folder, folder.name
        self.report = json.loads((folder / "report.json").read_text("utf-8"))
        self.sent = json.loads((folder / "data" / "analysis.json").read_text("utf-8"))
        window = json.loads((folder / "run.json").read_text("utf-8"))["window"]
        store = next((folder.parent / "store").iterdir())
        self.viewers = pd.read_parquet(folder / "data" / "viewers.parquet")
        files = sorted((store / "sessions").rglob("*.parquet"))
        order = ["percent_viewed", "received_at", "visitor_key", "media_id"]
        sessions = pd.concat(map(pd.read_parquet, files))
        sessions = sessions.sort_values(order, ascending=[False, True, True, True])
        day = sessions["received_at"].dt.strftime("%Y-%m-%d")
        sessions = sessions[day.between(window["start_date"], window["end_date"])]
        sessions = sessions.drop_duplicates("event_key").drop(columns="email")
        of_viewer = self.viewers[["visitor_key", "cluster", "email"]]
        self.sessions = sessions.merge(of_viewer, on="visitor_key")
        plays = self.sessions.groupby(["visitor_key", "media_id", "cluster"], as_index=False)
        self.plays = plays.agg(best=("percent_viewed", "max"))
        medias = pd.read_parquet(store / "medias.parquet").set_index("media_id")
        self.medias = medias.reindex(self.plays["media_id"].unique())
        self.end = pd.Timestamp(window["end_date"], tz="UTC") + pd.Timedelta(1, "D")
        lists = [pd.read_csv(path) for path in sorted((folder / "private").glob("outreach_*.csv"))]
        self.people = pd.concat(lists, ignore_index=True)
        self.people.columns = [name.strip("\ufeff").lower() for name in self.people]
        self.clusters = pd.read_csv(folder / "data" / "clusters.csv").set_index("cluster")
        self.sizes = {name: int(size) for name, size in self.clusters["viewers"].items()}
        self.small = {
            name for name, size in self.sizes.items() if 0 < size < 2 * LEAST - 1
        }  # without rows
        self.total = sum(self.sizes.values())
        self.known = int(self.clusters["identified_viewers"].sum())

    def rows(self, *path: str) -> pd.DataFrame:
        """The table of a section of report.json, index as it came."""
        section = self.report[path[0]]
        for part in path[1:]:
            section = section["parts"].get(part, {"rows": [], "columns": {}})
        return pd.DataFrame(section["rows"], columns=list(section["columns"]) or None)

    def name(self, *name):
        return (self.tag, *map(str, name))

    def names(self, table: str, keys) -> list[tuple]:
        return [self.name(table, key) for key in keys]

    def column(self, table: str, shown: pd.Series, truth: pd.Series, of, *, absent=(), lost=()):
        """A column of counts by its index; of: a number, or a function of the index.

        Absent are rows that are not there for few viewers, lost are those that may be any.
        """
        if shown.index.name == "cluster":
            lost = {*self.sizes}.difference(shown.index)
        absent = [key for key in absent if key not in shown.index]
        # Some are left out because they would tell others: those beside them may be any, too.
        group = {key: key[-1] if isinstance(key, tuple) else "" for key in absent}
        any_may_be = {group[key] for key in absent if truth.get(key, 0) >= LEAST}
        names = []
        for key in dict.fromkeys([*shown.index, *absent, *sorted(lost)]):
            whole = of(key) if callable(of) else of
            name = self.name(table, key)
            self.attack.count(name, shown.get(key), int(truth.get(key, 0)), whole,
                              listed=key in shown.index, lost=key in lost,
                              veiled=bool(shown.isna().all())
                              or group.get(key) in any_may_be)  # fmt: skip
            names.append(name)
        return names

    def door(self, values: pd.Series, *exact: int) -> None:
        """Values are counts as the door lets them through, or exact totals."""
        counted = values.dropna().astype(float)
        whole = counted.round()
        let_through = (whole % STEP == 0) | whole.isin(exact)
        wrong = counted[(counted.sub(whole).abs() > 1e-4) | ~let_through]
        assert wrong.empty, wrong.to_dict()

    def put_clusters(self):
        """Sizes are exact, and means times sizes are nearly so."""
        for cluster, mean in self.clusters["avg_videos"].items():
            size, name = self.sizes[cluster], self.name("viewings", cluster)
            self.attack.unknown(name, int((self.plays["cluster"] == cluster).sum()), size)
            if size:
                self.attack.relate({name: 1}, (mean - 0.05) * size, (mean + 0.05) * size)
            if cluster == "bouncers":  # by their rule
                self.attack.equal([name], size)

    def put_videos(self):
        """Viewers of each video by cluster, and viewings by folder."""
        table = self.rows("content", "videos").set_index(["media_id", "cluster"])
        truth = self.plays.groupby(["media_id", "cluster"]).size()
        every = [(video, cluster) for video in self.medias.index for cluster in self.sizes]
        self.column("video", table["viewers"], truth, lambda key: self.sizes[key[1]], absent=every)
        assert table["viewers"].notna().all()  # a row tells that it is of min_cell viewers or more
        self.door(table["viewers"] / table["share_of_viewings"], *self.sizes.values())
        for cluster in self.sizes:
            names = self.names("video", [(video, cluster) for video in self.medias.index])
            self.attack.equal(names, self.name("viewings", cluster))
        viewings = round(len(self.plays) / STEP) * STEP
        shown = (table["share_of_all"].groupby("media_id").first() * viewings).dropna()
        self.door(shown, self.total)
        for video, count in shown.round().items():
            name, known = self.name("video", video), int(truth.get(video, pd.Series([0])).sum())
            self.attack.count(name, count, known, self.total)
            self.attack.equal(self.names("video", [(video, c) for c in self.sizes]), name)
        folders = self.rows("content", "folders").set_index(["folder", "cluster"])["viewings"]
        by_folder = self.plays.assign(folder=self.plays["media_id"].map(self.medias["folder"]))
        truth = by_folder.groupby(["folder", "cluster"]).size()
        self.column("folder", folders, truth, lambda key: self.name("viewings", key[1]))
        for folder, cluster in folders.index:
            videos = self.medias.index[self.medias["folder"] == folder]
            names = self.names("video", [(video, cluster) for video in videos])
            self.attack.equal(names, self.name("folder", (folder, cluster)))

    def put_watched(self):
        """How far videos were watched: a mean of whole percents, and minutes."""
        table = self.rows("content", "videos").set_index(["media_id", "cluster"])
        sums = self.plays.groupby(["media_id", "cluster"])["best"].sum()
        for key in [(video, cluster) for video in self.medias.index for cluster in self.sizes]:
            name, count = self.name("watched", key), self.name("video", key)
            self.attack.unknown(name, sums.get(key, 0.0), whole=False)
            percent = table["avg_percent_watched"].get(key)
            known = pd.notna(percent)
            low, high = ((percent + end) / 100 for end in (-0.5001, 0.5001)) if known else (0, 1)
            self.attack.relate({name: 1, count: -low}, low=0)
            self.attack.relate({name: 1, count: -high}, high=0)
        lengths = self.medias["duration"].dropna() / 60
        minutes = self.rows("people", "watch_time").set_index("cluster")["minutes"]
        for cluster, shown in minutes.dropna().items():
            terms = {self.name("watched", (v, cluster)): m for v, m in lengths.items()}
            self.attack.relate(terms, shown - 0.51, shown + 0.51)
            if cluster == "bouncers":
                mean, size = self.clusters["avg_percent_watched"][cluster], self.sizes[cluster]
                terms = {self.name("watched", (v, cluster)): 100 for v in self.medias.index}
                self.attack.relate(terms, (mean - 0.051) * size, (mean + 0.051) * size)
        of_video = self.rows("people", "watch_time", "videos").set_index("title")["minutes"]
        seen = self.plays.groupby("media_id").size()
        for video, length in lengths.items():
            shown = of_video.get(self.medias["name"][video])
            if np.isscalar(shown) and pd.notna(shown):  # of published viewers: what one saw
                published = min((seen[video] + STEP // 2) // STEP * STEP, self.total)
                for sign in (-1, 1):
                    views = STEP * round(shown / length / STEP) + sign * (STEP / 2 + 0.01)
                    mean = views / published
                    terms = {self.name("watched", (video, c)): 1 for c in self.sizes}
                    terms |= {self.name("video", (video, c)): -mean for c in self.sizes}
                    self.attack.relate(terms, *((-math.inf, 0) if sign > 0 else (0, math.inf)))

    def put_sources(self):
        """Where viewers came from: of each kind a viewer has one value, or none."""
        kinds = ["page", "utm_source", "utm_medium", "utm_campaign"]
        first = self.sessions.sort_values(["received_at", "event_key"])
        first = first.drop_duplicates("visitor_key")
        long = first.melt(["visitor_key", "cluster"], kinds, "kind", "value").dropna(subset="value")
        truth = long.groupby(["kind", "value", "cluster"]).size()
        table = self.rows("content", "sources", "all").set_index(["kind", "value", "cluster"])
        values = truth.index.droplevel("cluster").unique()
        every = [(*value, cluster) for value in values for cluster in self.sizes]
        self.column("source", table["viewers"], truth, lambda key: self.sizes[key[2]], absent=every)
        assert table["viewers"].notna().all()
        self.door(table["viewers"] / table["share"], *self.sizes.values())
        shown = (table["share_of_all"].groupby(["kind", "value"]).first() * self.total).dropna()
        self.door(shown, self.total)
        for value, count in shown.round().items():
            whole = self.name("source", value)
            self.attack.count(whole, count, int(truth[value].sum()), self.total)
            self.attack.equal(self.names("source", [(*value, c) for c in self.sizes]), whole)
        for kind in kinds:
            for cluster, size in self.sizes.items():
                own = [key for key in every if key[0] == kind and key[2] == cluster]
                self.attack.within(self.names("source", own), size)

    def put_conversions(self):
        """Who converted, by cluster and by kind, and in how many sessions."""
        kind = self.sessions["conversion_type"]
        passed = kind.str.contains("e-?mail|turnstile", case=False, na=False)
        clicked = self.sessions[kind.notna() & ~passed]
        table = self.rows("content", "conversions")
        if table.empty:
            return
        table = table.set_index("cluster")
        truth = clicked.groupby("cluster")["visitor_key"].nunique()
        names = self.column("converted", table["converted"], truth, self.sizes.get)
        total = self.name("converted", "all")
        finding = self.report["content"]["parts"]["conversions"]["finding"]
        if said := re.match(r"([\d,]+) viewers? of", finding):
            self.attack.count(total, int(said[1].replace(",", "")), int(truth.sum()), self.total)
            self.attack.equal(names, total)
        sessions = self.sessions.groupby("cluster").size()
        names = self.column("sessions", table["sessions"], sessions, len(self.sessions))
        self.attack.equal(names, len(self.sessions))
        for cluster, size in self.sizes.items():
            self.attack.relate({self.name("sessions", cluster): 1}, low=size)
        table = table[table["viewers"] > 0]
        acted = (table["rate_per_session"] * table["sessions"]).astype(float).round(4)
        truth = clicked.groupby("cluster").size()
        self.column("acted", acted, truth, lambda cluster: self.name("sessions", cluster))
        for cluster in table.index:
            self.attack.at_most(self.name("converted", cluster), self.name("acted", cluster))
        kinds = self.rows("content", "conversions", "kinds")
        if len(kinds) and said:
            truth = clicked.groupby("conversion_type")["visitor_key"].nunique()
            shown = kinds.set_index("kind")["viewers"]
            own = self.column("kind", shown, truth, self.total, absent=truth.index)
            for name in own:
                self.attack.at_most(name, total)
            self.attack.relate(dict.fromkeys(own, 1) | {total: -1}, low=0)
        gate = self.rows("content", "conversions", "gate").set_index("cluster")["by_gate"]
        truth = self.sessions[passed].groupby("cluster")["visitor_key"].nunique()
        self.column("gate", gate, truth, self.sizes.get)
        for cluster, known in self.clusters["identified_viewers"].items():
            self.attack.relate({self.name("gate", cluster): 1}, high=known)
        hidden = table[table["converted"].isna()]
        assert hidden[["rate", "low", "high", "q_value", "verdict"]].isna().all(axis=None)

    def put_people(self):
        """People by cluster, by score and by company; the totals are exact."""
        people, exact = self.people, self.report["answer"]
        table = self.rows("people").set_index("cluster")
        if "people" not in table:  # hidden whole
            return
        cluster = self.cluster_of(people)
        names = self.column("people", table["people"], cluster.value_counts(), exact["people"])
        self.attack.equal(names, exact["people"])
        # Who has one cookie is the person that the identified viewer is.
        more = self.known - exact["people"]
        for key, known in self.clusters["identified_viewers"].items():
            self.attack.relate({self.name("people", key): 1}, known - 2 * more, known + more)
        age = self.end - pd.to_datetime(people["last viewed at"], utc=True)
        lately = age <= pd.Timedelta(7, "D")
        for column, chosen in (("to_call", called(people)), ("seen_7_days", lately)):
            if column not in table:  # hidden whole
                continue
            truth = cluster[chosen].value_counts()
            names = self.column(
                column, table[column], truth, lambda name: self.name("people", name)
            )
            if column == "to_call":
                self.attack.equal(names, exact["people_to_call"])
        self._put_scores(people, exact["people"])
        for score in (30, 40, 50):  # who is called has 50 or more
            if (name := self.name("score people", score)) in self.attack.places:
                self.attack.relate({name: 1}, low=exact["people_to_call"])
        sizes = pd.read_csv(self.folder / "private" / "companies.csv")["People"]
        shown = self.rows("people", "companies").set_index("size")["companies"]
        truth = {key: int(sizes.between(*ends).sum()) for key, ends in COMPANIES.items()}
        lost = COMPANIES.keys() - shown.index
        names = self.column("companies", shown, pd.Series(truth), len(sizes), lost=lost)
        self.attack.equal(names, len(sizes))
        least = {self.name("companies", key): ends[0] for key, ends in COMPANIES.items()}
        self.attack.relate(least, high=exact["people"])

    def _put_scores(self, people: pd.DataFrame, everybody: int):
        """People at or over each score, and those of them who clicked."""
        catch = self.rows("people", "catch").set_index("score")
        clicked, whole = catch["clicked"] / catch["caught"], self.name("clicked", "all")
        has_clicked = people["clicks points"] > 0
        if clicked.notna().any():
            self.door(clicked)
            shown = round(clicked.dropna().iloc[0])
            self.attack.count(whole, shown, int(has_clicked.sum()), everybody)
        of_clicked = whole if whole in self.attack.places else everybody
        for column, scores, of in (
            ("people", people["score"], everybody),
            ("clicked", people["score"][has_clicked], of_clicked),
        ):
            truth = pd.Series({cut: int((scores >= cut).sum()) for cut in catch.index})
            names = self.column(f"score {column}", catch[column], truth, of)
            for name, lower in zip(names[1:], names, strict=False):
                self.attack.at_most(name, lower)
        for cut in catch.index:
            self.attack.at_most(self.name("score clicked", cut), self.name("score people", cut))

    def put_change(self):
        """Newcomers then and now, and viewers and people by period."""
        table = self.rows("change")
        if len(table):
            for name in ("then", "now"):
                shown = table.set_index("cluster")[f"viewers_{name}"]
                size = (shown / table.set_index("cluster")[f"share_{name}"]).dropna()
                self.door(size, self.total)
            hidden = table[["viewers_then", "viewers_now"]].isna().any(axis=1)
            derived = ["difference", "low", "high", "q_value", "detectable"]
            assert table.loc[hidden, derived].isna().all(axis=None)

    def put_trend(self):
        """Viewers and people by week or month, of all of them."""
        table = self.rows("change", "trend").set_index("period")
        day = self.sessions["received_at"].dt.tz_convert("UTC")
        back = ((self.end - day).dt.total_seconds() // 86400 // 7 + 1) * pd.Timedelta(7, "D")
        monthly = all(len(period) == 7 for period in table.index)
        period = day.dt.strftime("%Y-%m") if monthly else (self.end - back).dt.strftime("%Y-%m-%d")
        person = self.sessions["email"].where(self.sessions["email"].str.contains("@", na=False))
        seen = self.sessions.assign(period=period, person=person.str.lower().str.strip())
        counted = seen.groupby("period")[["visitor_key", "person"]].nunique()
        self.column("period", table["viewers"], counted["visitor_key"], self.total)
        everybody = self.report["answer"]["people"]
        names = self.column("period people", table["people"], counted["person"], everybody)
        for period, name in zip(table.index, names, strict=True):
            self.attack.at_most(name, self.name("period", period))

    def put_news(self, before: "Published"):
        """What is new since the run before, and moves between clusters: all sizes are exact."""
        totals = self.rows("change", "news", "totals").set_index("kind")
        table = self.rows("change", "news").set_index("cluster")
        then, now = (run.viewers[["visitor_key", "cluster"]] for run in (before, self))
        both = then.merge(now, "outer", "visitor_key", suffixes=("_then", "_now"))
        came = both[both["cluster_then"].isna()]["cluster_now"].value_counts()
        gone = both[both["cluster_now"].isna()]["cluster_then"].value_counts()
        shown = table.get("viewers", table.index[:0].to_series())  # hidden whole it is no column
        names = self.column("came", shown, came, self.sizes.get)
        self.attack.equal(names, int(totals.loc["viewers", "new"]))
        for cluster in self.sizes:
            self.attack.unknown(self.name("gone", cluster), int(gone.get(cluster, 0)))
        names = self.names("gone", self.sizes)
        self.attack.equal(names, int(totals.loc["viewers", "gone"]))
        self._put_moves(before, both.groupby(["cluster_then", "cluster_now"]).size())
        # People by e-mail: new ones add up too.
        for column in {"people", "to_call"}.intersection(table, self.rows("people")):
            shown, new = table[column], int(totals.loc[column.replace("_", " "), "new"])
            truth = self.new_people(before, column)
            names = self.column(f"new {column}", shown, truth,
                                lambda name, column=column: self.name(column, name))  # fmt: skip
            self.attack.equal(names, new)
        self.door(table.get("companies", pd.Series(dtype=float)))

    def _put_moves(self, before: "Published", truth: pd.Series):
        """Viewers of both runs by their clusters then and now."""
        moves = self.rows("change", "moves").set_index(["cluster_then", "cluster_now"])["viewers"]
        every = [(then, now) for then in self.sizes for now in self.sizes]
        for then, now in every:
            name, known = self.name("moved", (then, now)), int(truth.get((then, now), 0))
            if then == now:
                self.attack.unknown(name, known)
            else:
                listed = (then, now) in moves.index
                size = before.sizes[then]
                self.attack.count(name, moves.get((then, now)), known, size, listed=listed)
        for cluster in self.sizes:
            then = self.names("moved", [(cluster, now) for now in self.sizes])
            self.attack.equal([*then, self.name("gone", cluster)], before.sizes[cluster])
            now = self.names("moved", [(then, cluster) for then in self.sizes])
            self.attack.equal([*now, self.name("came", cluster)], self.sizes[cluster])
        said = re.search(r"runs (?:(all but )?fewer than \d+|([\d,]+)) moved",
                         self.report["change"]["parts"]["moves"]["finding"])  # fmt: skip
        total, moved = self.name("moved", "all"), [pair for pair in every if pair[0] != pair[1]]
        shown = int(said[2].replace(",", "")) if said[2] else None
        true = int(truth[truth.index.isin(moved)].sum())
        few = shown is None and not said[1]  # none is few, too
        self.attack.count(total, shown, true, int(truth.sum()), listed=not few)
        self.attack.equal(self.names("moved", moved), total)

    def new_people(self, before: "Published", column: str) -> pd.Series:
        """New people of each cluster; those to call are new to the list of them."""
        then, now = (
            people[called(people)] if column == "to_call" else people
            for people in (before.people, self.people)
        )
        new = now[~now["email"].str.lower().isin(then["email"].str.lower())]
        return self.cluster_of(new).value_counts()

    def cluster_of(self, people: pd.DataFrame) -> pd.Series:
        titles = {row["title"]: row["cluster"] for row in self.report["clusters"]["rows"]}
        return people["cluster"].replace(titles)

    def put_coverage(self):
        """What the data cover, the steps of stage 02, groups found by two methods."""
        groups = self.rows("stability", "groups")
        if len(groups):
            self.door(groups["outside"].astype(float) * self.total, self.total)
        totals = {"sessions", "viewers", "identified_viewers", "people", "visitors"}
        assert set(self.report["method"]["counts"]) <= totals
        coverage = self.rows("method", "coverage").set_index("topic")["value"]
        assert coverage.notna().all()  # exact totals tell some: what is hidden has no row
        exact = self.total, len(self.sessions), *coverage.filter(like="days")
        self.door(coverage.drop("identified viewers"), *exact)

    def put_near_thresholds(self):
        """Viewers by cluster and number of videos, which means and rows of thresholds tell."""
        shown = self.rows("stability").set_index(["cluster", "column"])[["lowered", "raised"]]
        self.door(shown.stack(), self.total)
        assert shown.notna().all(axis=None)
        truth = self.viewers.groupby(["cluster", "video_count"]).size()
        most = range(1, self.viewers["video_count"].max() + 1)
        videos = dict(
            zip(self.sizes, (most[4:], most[2:], most[:1], most[1:], most[:2]), strict=True)
        )
        for cluster, numbers in videos.items():
            size, names = self.sizes[cluster], {self.name("of", cluster, n): n for n in numbers}
            for name, number in names.items():
                self.attack.unknown(name, int(truth.get((cluster, number), 0)), 0, size)
            self.attack.equal(names, size)
            self.attack.relate(names | {self.name("viewings", cluster): -1}, 0, 0)
        for key, (low, high) in NUMBERS.items():
            names = [self.name("of", c, n) for c, numbers in videos.items() for n in numbers
                     if low <= n <= high]  # fmt: skip
            self.attack.equal(names, self.name("number", key))
        for rule, end, cluster, number in MOVED_BY_A_VIDEO:
            name = self.name("of", cluster, number)
            if (rule, "video_count") in shown.index and name in self.attack.places:
                count = shown[end][rule, "video_count"]
                self.attack.relate({name: 1}, count - STEP // 2, count + STEP // 2)

    def put_enriched(self):
        """Notebook 02: viewers by number of videos and by country."""
        shown = read_page_table(self.folder / "02_enrich.html", "videos")
        ends = [0, *(high for _, high in NUMBERS.values())]
        number = pd.cut(self.viewers["video_count"], ends, labels=[*NUMBERS]).astype(str)
        known, lost = self.viewers["email"].notna(), NUMBERS.keys() - shown.index
        assert shown["viewers"].gt(0).all()
        names = self.column(
            "number", shown["viewers"], number.value_counts(), self.total, lost=lost
        )
        self.attack.equal(names, self.total)
        if "identified" in shown:  # hidden whole it is no column
            names = self.column("number known", shown["identified"], number[known].value_counts(),
                                lambda key: self.name("number", key), lost=lost)  # fmt: skip
            self.attack.equal(names, self.known)
        shown = read_page_table(self.folder / "02_enrich.html", "country")["viewers"]
        truth = self.viewers["country"].value_counts()
        absent = truth.index if len(shown) < MOST_COUNTRIES else ()
        names = self.column("country", shown, truth, self.total, absent=absent)
        self.attack.within(names, self.total)

    def put_what_is_sent(self):
        """The question to Mavera: countries, devices and videos of each cluster."""
        text = re.search(r"```json\n(.*?)\n```", self.sent["question"], re.DOTALL)[1]
        of_country = self.viewers.groupby(["cluster", "country"]).size()
        table = self.rows("content", "videos").set_index(["title", "cluster"])["viewers"]
        for row in json.loads(text)["clusters"]:
            cluster = row["cluster"]
            size, truth = self.sizes[cluster], of_country.get(cluster, pd.Series(dtype=int))
            shown = {part["name"]: part["viewers"] for part in row.get("countries", [])}
            absent = truth.index if len(shown) < MOST_SENT else ()
            shown = pd.Series(shown, dtype=object)
            names = self.column(f"country of {cluster}", shown, truth, size, absent=absent)
            self.attack.within(names, size)
            for name in names:
                if (whole := self.name("country", name[-1])) in self.attack.places:
                    self.attack.at_most(name, whole)
            for part in row.get("top_videos", []):
                assert part["viewers"] == table[part["title"], cluster]  # and what it is without

    def put_other_clusters(self):
        """Notebook 03: clusters by other rules, and by k-means."""
        count, percent = self.viewers["video_count"], self.viewers["avg_percent_watched"]
        rules = [(count >= 5) & (percent >= 75), (count >= 3) & (percent >= 50),
                 (count == 1) & (percent < 30), (count >= 2) & (percent < 70)]  # fmt: skip
        other = np.select(rules, [*self.sizes][:4], [*self.sizes][4])
        frame = self.viewers.set_index("visitor_key").sort_index()
        label = stage.label_viewers(frame, groups=len(self.sizes), seed=0)
        pairs = [frame["cluster"], pd.Series(other, self.viewers["visitor_key"])]
        truth = frame.groupby([part.reindex(frame.index) for part in pairs]).size()
        moves = read_page_frame(self.folder / "03_cluster.html", "now").set_index(
            "by_other_rules", append=True
        )
        assert (truth[moves.index] >= LEAST).all()
        self.door(moves["viewers"].str.replace(",", "").astype(float))
        shown = read_page_table(self.folder / "03_cluster.html", "group")
        truth = pd.crosstab(frame["cluster"], label)
        truth = truth.reindex(index=shown.index, columns=shown.columns, fill_value=0)
        for name, row in shown.iterrows():
            size = self.sizes[name]
            names = self.column(f"group {name}", row, truth.loc[name], size)
            self.attack.equal(names, size)

    def put(self, before: "Published | None" = None):
        for name in dir(self):
            if name.startswith("put_") and name != "put_news":
                getattr(self, name)()
        if before:
            self.put_news(before)


def read_page_tables(page: Path) -> list[pd.DataFrame]:
    """The tables of a page, each cell a text, index the first column."""
    soup = BeautifulSoup(page.read_text("utf-8"), "html.parser")
    for table in soup.find_all("table"):
        rows = [[" ".join(cell.get_text().split()) for cell in row.find_all(["th", "td"])]
                for row in table.find_all("tr")]  # fmt: skip
        head, *rows = rows
        yield pd.DataFrame(rows, columns=head).set_index(head[0])


def read_page_frame(page: Path, name: str) -> pd.DataFrame:
    """The table whose first column has that in its header."""
    (table,) = [
        table for table in read_page_tables(page) if re.search(rf"\b{name}\b", table.index.name)
    ]
    return table


def read_page_table(page: Path, name: str) -> pd.DataFrame:
    """The same with counts as numbers, hidden is missing."""
    texts = read_page_frame(page, name).map(lambda text: text.replace(",", "").replace("–", ""))
    return texts.apply(pd.to_numeric, errors="coerce")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> list[Path]:
    """Two runs, a month apart, of an account of 150 visitors with many small cells."""
    outputs, dates = tmp_path_factory.mktemp("small"), ("2026-06-01", "2026-07-01")
    with commands.sandbox("--viewers", "150") as live, pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIEWER_PERSONAS_SANDBOX", live["WISTIA_BASE_URL"])
        for name, value in live.items():
            patch.setenv(name, value)
        for date in dates:
            commands.run(outputs, "--stages", "1-3", "--run-date", date, **live)
            run_real(outputs / date, patch, "04_personas", "05_mave_analysis")
    return [outputs / date for date in dates]


def find_solved(*folders: Path) -> pd.DataFrame:
    """Hidden counts that what these runs publish leaves fewer than three values for."""
    attack, before = Attack(), None
    for folder in folders:
        published = Published(attack, folder)
        published.put(before)
        before = published
    found = attack.solve()
    assert found["truth"].between(found["least"], found["most"]).all()
    assert len(found) > 50
    found = found[found["most"] > 0]  # that nobody is there is no secret
    return found[found["most"] - found["least"] < VALUES - 1]


def test_no_hidden_count_of_the_sandbox_account_can_be_found(whole_run):
    assert find_solved(whole_run.folder).empty


def read_integers(value) -> Iterator[int]:
    """Whole numbers of a JSON document, those in its sentences too; shares as percents."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from read_integers(part)
    elif isinstance(value, str):
        yield from (int(text.replace(",", "")) for text in re.findall(r"\d[\d,]*", value))
    elif value is not None and math.isfinite(value):
        yield from {round(value), round(value * 100)}


def test_pages_and_affinity_hold_no_count_that_the_report_has_not(small):
    for folder in small:
        report = json.loads((folder / "report.json").read_text("utf-8"))
        held = set(read_integers(report))
        tables = [*read_page_tables(folder / "report.html")]
        assert len(tables) > 10
        for table in tables:
            cells = [*table.index, *table.to_numpy().ravel()]
            shown = [
                int(text.replace(",", "")) for text in cells if re.fullmatch(r"\d[\d,]*", text)
            ]
            assert set(shown) <= held, list(table)
        videos = report["content"]["parts"]["videos"]
        affinity = pd.read_csv(folder / "data" / "affinity.csv")
        expected = pd.DataFrame(videos["rows"], columns=list(videos["columns"]))
        pd.testing.assert_frame_equal(affinity, expected, check_dtype=False)


def test_no_hidden_count_of_a_small_account_can_be_found_nor_by_its_next_run(small):
    assert find_solved(*small).empty


def test_the_attack_finds_what_subtraction_tells():
    attack = Attack()
    for name, shown, truth in (("a", 20, 19), ("b", None, 1), ("c", None, 4), ("d", 30, 32)):
        attack.count((name,), shown, truth, 60)
    attack.equal([("a",), ("b",)], 20)
    found = attack.solve()
    assert found.loc[[("b",)], ["least", "most"]].values.tolist() == [[1, 2]]  # 18 to 22 are 20
    assert found.loc[[("c",)], ["least", "most"]].values.tolist() == [[1, 59]]
