"""Processes that die between any two steps, and a Mavera at which things go wrong by seed."""

import random
import subprocess
import sys
from pathlib import Path

from money import World, hurry

from helpers.core import http
from helpers.core.errors import CreditError, KitError
from helpers.mavera import ledger
from helpers.run import Run
from helpers.sandbox.faults import Faults

KINDS = ("drop_after", "drop_before", "drop_while", "500_after", "500_before", "truncated",
         "html_200", "empty", "429_retry_after", "502", "504", "402")  # fmt: skip
BILL = 5 * 300 + 75 + 5 * 5


class Killed(BaseException):
    """The process is gone: nothing that comes after runs, whatever it is."""


class Executioner:
    """Kills at the n-th step; steps are requests, lines of the ledger and files, each before and
    after, and in the middle of a line."""

    def __init__(self, patch):
        self.at, self.step, self.dead, self.trail = None, 0, False, []
        for owner, name in (
            (http.Client, "get"), (http.Client, "post"), (http.Client, "patch"),
            (ledger, "write_line"), (Run, "write_json"), (Run, "record"),
        ):  # fmt: skip
            patch.setattr(owner, name, self._mortal(getattr(owner, name), name))

    def _mortal(self, do, name):
        def mortal(*args, **kwargs):
            self._look(f"before {name}")
            if name == "write_line" and self.at == self.step + 1:  # half a line
                self.step, self.dead = self.step + 1, True
                with open(args[0], "ab") as file:
                    file.write(args[1].encode()[: len(args[1]) // 2])
                raise Killed(name)
            self._look(f"within {name}")
            found = do(*args, **kwargs)
            self._look(f"after {name}")
            return found

        return mortal

    def _look(self, where: str) -> None:
        self.step += 1
        if self.dead or self.step == self.at:
            self.dead = True
            raise Killed(where)

    def live_until(self, step: int | None) -> None:
        self.at, self.step, self.dead = step, 0, False


def trial(seed: int, folder: Path, template: Path, patch) -> dict:
    """One account under seeded faults and deaths, run again until it is done.

    Returns
    -------
    dict
        personas (made, by true count), used (credits truly charged), bill, booked (credits of the
        ledger), deaths, faults, attempts, unknown (outcomes that a person had to settle), done.
    """
    luck = random.Random(seed)
    world = World(
        folder / "outputs", patch, template,
        credits=luck.choice([1700, 5000]), mave_seconds=luck.choice([0, 0.035]),
    )  # fmt: skip
    hurry(patch)
    if luck.random() < 0.3:  # base personas bear the names, and others have been busy
        world.mavera.add_personas([f"Other {n}" for n in range(luck.choice([3, 120]))])
    if luck.random() < 0.2:  # made by hand, or by another machine
        world.mavera.add_personas(["Skimmers"])
    others = []  # a colleague spends from the same account meanwhile
    if luck.random() < 0.15:
        when = luck.randint(30, 120)

        def spend_too(number: int, *_):
            if number == when:
                others.append(7)
                world.mavera.state["credits"]["used"] += 7

        world.app.on_request = spend_too
    world.app.faults = Faults(
        seed=seed, rate=luck.choice([0.15, 0.4]), kinds=KINDS, limit=luck.choice([1, 2, 4]),
        only=lambda method, path: method == "POST", retry_after=0,
    )  # fmt: skip
    deaths, unknown, attempts, done = 0, 0, 0, False
    with patch.context() as mortal:
        executioner = Executioner(mortal)
        while attempts < 12 and not done:
            attempts += 1
            mortality = luck.random() < 0.6 and attempts < 6
            executioner.live_until(luck.randint(1, 230) if mortality else None)
            try:
                world.spend(BILL, ask_personas=True)
                done = True
            except Killed:
                deaths += 1
            except CreditError as error:
                if "settle" in str(error):
                    unknown += 1
                    executioner.live_until(None)
                    settle(world)
            except KitError:
                pass  # refused or twice failed: the analyst runs it again
    world.stop()
    books = [ledger.Ledger(path) for path in world.outputs.glob("store/*/ledger-*.jsonl")]
    names = [row["name"] for row in world.mavera.personas if not row["name"].startswith("Other")]
    return {
        "seed": seed, "personas": names, "used": world.mavera.used - sum(others), "bill": BILL,
        "deaths": deaths, "faults": [kind for *_, kind in world.app.faults.struck],
        "attempts": attempts, "unknown": unknown, "done": done,
        "booked": sum(entry.credits for book in books for entry in book.entries()),
    }  # fmt: skip


def settle(world: World) -> None:
    """What a person does who looks at Mavera's pages and then runs the settle command."""
    for path in world.outputs.glob("store/*/ledger-*.jsonl"):
        for entry in ledger.Ledger(path).entries(state=ledger.PENDING):
            names = {row["name"] for row in world.mavera.personas}
            asked = any(entry.mark in str(thread) for thread in world.mavera.state["threads"])
            made = entry.name in names if entry.kind == "persona" else asked
            ledger.settle_by_hand(world.outputs, entry.entry, made)


def killed_for_real(request: int, folder: Path, template: Path, patch) -> dict:
    """A process of its own spends, gets SIGKILL as its n-th request arrives, and is run again."""
    world = World(folder / "outputs", patch, template)
    world.run("04_personas")
    victims: list[subprocess.Popen] = []

    def strike(number: int, *_) -> None:
        if number == request and victims:
            victims[0].kill()

    world.app.on_request = strike
    world.app.requests = 0
    victims.append(subprocess.Popen([sys.executable, "-c", CHILD, str(Path(__file__).parent)]))
    code = victims[0].wait(120)
    world.app.on_request = None
    hurry(patch)
    while True:
        try:
            world.spend(BILL, ask_personas=True)
            break
        except CreditError:
            settle(world)
    world.stop()
    names = [row["name"] for row in world.mavera.personas]
    return {"killed": code == -9, "personas": names, "used": world.mavera.used, "bill": BILL}


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import pytest, money
money.hurry(pytest.MonkeyPatch())
money.spend(1600, ask_personas=True)
"""
