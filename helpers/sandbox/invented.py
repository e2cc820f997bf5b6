"""Invents an account by seed: the shape of real traffic, with every oddity real rows have.

Only uniform draws, arithmetic and sorting are used, so that one seed gives the same rows on every
machine; logarithms and the like differ in the last digit between processors.
"""

from datetime import date, timedelta

import numpy as np

from helpers.core.clock import SANDBOX_LAST_DAY
from helpers.sandbox import catalogue as made
from helpers.sandbox.account import Account, Table, midnight
from helpers.sandbox.rows import Rows, medias

DAY = 86_400
DAYS = 730  # events are kept for two years
SHARES = (0.071, 0.188, 0.330, 0.150, 0.261)
IDENTIFIED = (0.75, 0.61, 0.12, 0.48, 0.36)
# By cluster: fewest videos, and weights of none, one, two more; of replays of a video; of visits.
FEWEST = (5, 3, 1, 2, 1)
MORE = (
    [30, 20, 13, 9, 7, 5, 4, 3, 2, 2, 1, 1, 1, 1, 0.5, 0.5, 0.5],
    [45, 25, 14, 8, 5, 3],
    [1],
    [60, 22, 10, 5, 3],
    [78, 22],
)
REPLAYS = ([62, 20, 10, 5, 3], [80, 15, 5], [97, 3], [88, 10, 2], [80, 14, 6])
VISITS = ([5, 20, 25, 20, 15, 10, 5], [40, 35, 15, 10], [90, 10], [70, 25, 5], [55, 35, 10])
# By cluster: share watched to the end, share left at once, range of the rest, what fits for sure.
WATCHING = (
    (0.46, 0.00, 0.40, 1.000, 0.90),
    (0.24, 0.03, 0.10, 0.950, 0.62),
    (0.00, 0.15, 0.001, 0.299, 0.15),
    (0.09, 0.12, 0.005, 0.750, 0.30),
    (0.26, 0.00, 0.30, 1.000, 0.60),
)
COMPLETION = ((60, 0.66), (120, 0.56), (600, 0.50), (1200, 0.39), (10**6, 0.22))  # by seconds
RECENT = [1 - day * 0.006 if day < 90 else (DAYS - day) * 0.00017 for day in range(DAYS)]
GAPS = [1 / (days + 2) for days in range(1, 75)]  # days between two visits


class _Dice:
    """Uniform draws in a fixed order, and choices made of them."""

    def __init__(self, seed: int):
        self.uniform = np.random.default_rng(seed).random

    def choice(self, weights, size: int) -> np.ndarray:
        edges = np.cumsum(np.asarray(weights, float))
        return np.searchsorted(edges / edges[-1], self.uniform(size), side="right")

    def by_group(self, weights, group: np.ndarray) -> np.ndarray:
        """A choice for each element, by the weights of its group."""
        chosen = np.zeros(len(group), int)
        for number, row in enumerate(weights):
            mine = np.flatnonzero(group == number)
            chosen[mine] = self.choice(row, len(mine))
        return chosen

    def order(self, size: int) -> np.ndarray:
        return np.argsort(self.uniform(size), kind="stable")

    def below(self, limit: int, size: int) -> np.ndarray:
        return (self.uniform(size) * limit).astype(np.int64)


def invent(viewers: int = 1247, seed: int = 0, *, last_day: date = SANDBOX_LAST_DAY) -> Account:
    """An invented account.

    Parameters
    ----------
    viewers : int
        Rows of the visitor list. A few of them have no session left, as in real accounts.
    seed : int
        Same seed, same account, on any machine.
    last_day : date
        UTC day on which the data end, inclusive.

    Returns
    -------
    Account
        Rows are made when read: 100,000 visitors take some seconds and a few hundred MB.
    """
    return Invention(viewers, seed, last_day).account()


class Invention:
    """Arrays of one element per visitor (active ones first), video seen, or event."""

    def __init__(self, viewers: int, seed: int, last_day: date):
        self.dice = _Dice(seed)
        self.end = int(midnight(last_day + timedelta(1)))
        lapsed = round(viewers * 0.018)  # played, but longer ago than events are kept
        self.ghosts = round(viewers * 0.006)  # known by a repeated event key alone
        self.people, self.active = viewers, viewers - lapsed - self.ghosts
        self._draw_visitors()
        self._draw_sessions(*self._draw_videos())
        self._repeat_keys()
        self._draw_activity()

    def _draw_visitors(self) -> None:
        dice, count = self.dice, self.people
        edges = np.cumsum(SHARES)
        even = (np.arange(self.active) + 0.5) / max(self.active, 1)
        self.cluster = np.searchsorted(edges[:-1], even)[dice.order(self.active)]
        self.identified = np.zeros(count, bool)
        for number, share in enumerate(IDENTIFIED):
            mine = np.flatnonzero(self.cluster == number)
            self.identified[mine[: round(share * len(mine))]] = True
        known = np.flatnonzero(self.identified)
        # Cleared cookies: another visitor_key with the e-mail of the person before.
        first_key = dice.uniform(len(known)) >= 0.035
        first_key[:1], first_key[12:14] = True, False
        self.person = np.full(count, -1)
        self.person[known] = np.cumsum(first_key) - 1
        self.place = dice.choice([place[6] for place in made.PLACES], count)
        self.agent = dice.choice([agent[4] for agent in made.AGENTS], count)
        self.network = dice.below(len(made.NETWORKS), count)
        self.data_centre = (dice.uniform(count) < 0.02) & ~self.identified
        self.quirk = dice.uniform(count)
        self.late = dice.uniform(count) < 0.3  # gave the e-mail after the first session
        self.parts = dice.below(2**48, (count, 3))
        hostile = known[:: max(len(known) // len(made.HOSTILE), 1)][: len(made.HOSTILE)]
        self.hostile = {int(who): number for number, who in enumerate(hostile)}

    def _draw_videos(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Viewer, video and the best share seen of it, one element for each pair."""
        counts = np.array(FEWEST)[self.cluster] + self.dice.by_group(MORE, self.cluster)
        sought = np.array([video[4] for video in made.VIDEOS], float).T
        chosen = [np.zeros(0, int)]
        for start in range(0, self.active, 50_000):  # block by block, to bound the memory
            block = slice(start, min(start + 50_000, self.active))
            luck = self.dice.uniform((block.stop - start, len(made.VIDEOS)))
            with np.errstate(divide="ignore"):  # what nobody in the cluster seeks comes last
                order = np.argsort(luck / sought[self.cluster[block]], axis=1, kind="stable")
            chosen.append(order[np.arange(order.shape[1]) < counts[block, None]])
        viewer, video = np.repeat(np.arange(self.active), counts), np.concatenate(chosen)
        return viewer, video, self._draw_shares(viewer, video, counts)

    def _draw_shares(self, viewer, video, counts) -> np.ndarray:
        """Drawn repeatedly until the viewer's mean fits the cluster."""
        likely = [next(p for top, p in COMPLETION if row[2] < top) / 0.5 for row in made.VIDEOS]
        to_end, at_once, low, high, surely = np.array(WATCHING).T[:, self.cluster[viewer]]
        to_end = np.minimum(to_end * np.array(likely)[video], 0.95)
        impatient = self.cluster[viewer] >= 3  # skimmers and casual viewers mostly leave early
        share, again = np.zeros(len(viewer)), np.arange(len(viewer))
        for _ in range(12):
            kind, part = self.dice.uniform(len(again)), self.dice.uniform(len(again))
            part = np.where(impatient[again], part * part, part)
            share[again] = low[again] + (high - low)[again] * part
            share[again[kind < to_end[again]]] = 1.0
            share[again[kind >= 1 - at_once[again]]] = 0.0
            mean = np.bincount(viewer, share, self.active) / counts
            again = np.flatnonzero(~self._fits(mean, counts)[viewer])
        share[again] = surely[again]
        return share

    def _fits(self, mean: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Whether the mean share is one of the viewer's cluster, with a little room."""
        binge = mean > 0.755
        return np.choose(
            self.cluster,
            [
                binge,
                (mean > 0.505) & ~((counts >= 5) & (mean > 0.745)),
                mean < 0.295,
                mean < 0.495,
                np.where(counts == 1, mean > 0.305, mean > 0.505),
            ],
        )

    def _draw_sessions(self, viewer, video, share) -> None:
        dice = self.dice
        replays = dice.by_group(REPLAYS, self.cluster[viewer])
        replays[(self.quirk[viewer] < 0.04) & (self.cluster[viewer] == 0)] += 7  # the devoted few
        pair = np.repeat(np.arange(len(viewer)), 1 + replays)
        replay = np.append(False, pair[1:] == pair[:-1])[: len(pair)]
        seen = np.where(replay, share[pair] * dice.uniform(len(pair)), share[pair])
        order = np.lexsort((dice.uniform(len(pair)), viewer[pair]))
        self.viewer, self.video, self.share = viewer[pair][order], video[pair][order], seen[order]
        count = np.bincount(self.viewer, minlength=self.active)
        start = np.cumsum(count) - count
        turn = np.arange(len(self.viewer)) - start[self.viewer]
        visits = np.minimum(count, 1 + dice.by_group(VISITS, self.cluster))
        visit = turn * visits[self.viewer] // count[self.viewer]
        within = turn - -(-visit * count[self.viewer] // visits[self.viewer])
        number = (np.cumsum(visits) - visits)[self.viewer] + visit
        begin, place, page = self._draw_visits(visits)
        pace = 200 + dice.below(600, self.active)
        time = begin[number] + within * pace[self.viewer] + dice.below(40, len(number))
        self.time = np.where(time >= self.end, time - DAY, time)
        alone = np.flatnonzero(count[self.viewer] == 1)[::12]
        self.time[alone] = self.time[dice.below(len(number), len(alone))]  # ties happen
        self.place_of_event, self.page = place[number], page[number]
        self.reveal = np.where(self.late[: self.active] & (count > 1), start + 1, start)
        self.known = (np.arange(len(number)) >= self.reveal[self.viewer]) & (
            self.identified[self.viewer] | (self.quirk[self.viewer] < 0.012)
        )
        self.event_quirk = dice.uniform(len(number))
        self.key_of_event = np.arange(len(number))
        self.event_parts = dice.below(2**48, (len(number), 3))
        self.key_time = self.time.copy()

    def _draw_visits(self, visits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Begin [Unix seconds], place and page of each visit; the last lies near the end."""
        dice, owner = self.dice, np.repeat(np.arange(self.active), visits)
        last = np.cumsum(visits) - 1
        back = 1 + dice.choice(GAPS, len(owner))  # days before the next visit
        back[last] = dice.choice(RECENT, self.active)
        hot = np.flatnonzero((self.cluster == 0) & self.identified[: self.active])[::8]
        back[last[hot]] = np.arange(len(hot)) % 2  # sales should call these today
        back = np.cumsum(back[::-1])[::-1]
        back -= np.append(back, 0)[last + 1][owner]
        weekday = (self.end // DAY - 1 - back + 3) % 7  # 0 is Monday
        friday = (weekday > 4) & (dice.uniform(len(owner)) < 0.7) & (back > 1)
        back = np.minimum(back + np.where(friday, weekday - 4, 0), DAYS - 1)
        hours = np.array([place[5] for place in made.PLACES]) * 3600
        place = np.where(
            dice.uniform(len(owner)) < 0.04,
            dice.choice([place[6] for place in made.PLACES], len(owner)),
            self.place[owner],
        )
        clock = dice.choice(made.HOURS, len(owner)) * 3600 + dice.below(3600, len(owner))
        begin = self.end - (back + 1) * DAY + clock - hours[place].astype(np.int64)
        begin = np.where(begin > self.end - 3 * 3600, begin - DAY, begin)
        begin = np.where(begin < self.end - DAYS * DAY, begin + DAY, begin)
        page = dice.by_group(np.array([page[5] for page in made.PAGES]).T, self.cluster[owner])
        return begin, place, page

    def _repeat_keys(self) -> None:
        """Add rows that bear an event key again: same address, other visitor, one near 0."""
        dice, total = self.dice, len(self.viewer)
        source = np.flatnonzero(self.share > 0.1)
        source = source[dice.order(len(source))][: round(total * 0.012) if self.people >= 80 else 0]
        other = dice.below(max(self.active, 1), len(source))
        other = np.where(other == self.viewer[source], (other + 1) % max(self.active, 1), other)
        other[: self.ghosts] = np.arange(self.active, self.active + self.ghosts)
        share, shift = dice.uniform(len(source)) * 0.02, -10 - dice.below(30, len(source))
        share[:1], shift[:1] = self.share[source[:1]], 13  # once a tie: the earlier row stays
        for name in ("video", "place_of_event", "page", "event_quirk", "key_of_event"):
            column = getattr(self, name)
            setattr(self, name, np.append(column, column[source]))
        self.address = np.append(self.viewer, self.viewer[source])
        self.viewer = np.append(self.viewer, other)
        self.share, self.time = (
            np.append(self.share, share),
            np.append(self.time, np.maximum(self.time[source] + shift, self.end - DAYS * DAY)),
        )
        self.known = np.append(self.known, np.zeros(len(source), bool))

    def _draw_activity(self) -> None:
        """Counts and times of the visitor rows."""
        dice, count = self.dice, self.people
        self.plays = np.bincount(self.viewer, minlength=count)
        order = np.argsort(self.time, kind="stable")
        self.newest = np.full(count, -1)
        self.newest[self.viewer[order]] = order
        first = self.end - DAYS * DAY - DAY * (10 + dice.below(700, count))
        self.last = first + dice.below(DAY, count)
        seen = self.newest >= 0
        self.last[seen] = self.time[self.newest[seen]]
        np.minimum.at(begun := np.where(seen, self.end, self.last), self.viewer, self.time)
        old = (dice.uniform(count) < 0.06) | ~seen  # plays older than the events that are kept
        self.plays += np.where(old, 1 + dice.below(12, count), 0)
        begun = np.where(old & seen, first, begun)
        after = dice.uniform(count) < 0.12
        spread = dice.below(90, count)
        self.created = np.where(after, self.last + 1 + spread, begun - spread)
        self.loads = self.plays + dice.choice([50, 20, 10, 6, 4, 3, 2, 2, 1, 1, 0, 0, 1], count)
        self.loads = np.where(dice.uniform(count) < 0.03, self.plays - 1, self.loads)
        self.loads[3:4] = 1408  # every player on every page counts

    def account(self) -> Account:
        """The account, its rows made when they are read."""
        rows = Rows(self)
        identities = [rows.identity(who) or {} for who in range(self.people)]
        visitors = {
            "time": self.last.tolist(),
            "visitor_key": rows.keys,
            "name": [identity.get("name") or "" for identity in identities],
            "email": [identity.get("email") or "" for identity in identities],
            "gate": (rows.gate >= 0).tolist(),
            "row": list(range(self.people)),
        }
        ids = [video[0] for video in made.VIDEOS]
        events = {
            "time": self.time.tolist(),
            "visitor_key": [rows.keys[who] for who in self.viewer.tolist()],
            "media_id": [ids[number] for number in self.video.tolist()],
            "percent_viewed": self.share.tolist(),
            "row": list(range(len(self.time))),
        }
        people, plays = Table(visitors, rows.visitor), Table(events, rows.event)
        return Account(people, plays, medias(), made.MARKS)
