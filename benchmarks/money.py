"""Credits under fire: seeded faults and deaths, by the hundred, against a Mavera on this machine.

Run ``python benchmarks/money.py [TRIALS] [KILLS]``; it writes ``benchmarks/money.md``.
"""

import sys
import tempfile
import textwrap
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from dying import BILL, killed_for_real, trial  # noqa: E402
from money import World  # noqa: E402


def main(trials: int = 300, kills: int = 20) -> None:
    """Run the trials, write the figures down, and fail when a promise was broken."""
    folder = Path(tempfile.mkdtemp(prefix="money-"))
    template = folder / "template"
    with pytest.MonkeyPatch.context() as patch:
        world = World(template, patch)
        world.filled()
        world.stop()
        world = World(folder / "clean", patch, template)
        world.spend(BILL, ask_personas=True)
        requests = len(world.log)  # deaths by SIGKILL are spread over all of them
        world.stop()
    total: Counter = Counter()
    kinds: Counter = Counter()
    for seed in range(trials):
        with pytest.MonkeyPatch.context() as patch:
            found = trial(seed, folder / f"trial{seed}", template, patch)
        kinds.update(found["faults"])
        total.update(
            faults=len(found["faults"]), deaths=found["deaths"], starts=found["attempts"],
            by_hand=found["unknown"], exact=found["booked"] == found["used"],
            done=found["done"] and len(found["personas"]) == 5,
            twice=len(found["personas"]) != len(set(found["personas"])),
            over=found["used"] > BILL,
        )  # fmt: skip
    for number in range(kills):
        request = 1 + number * requests // max(kills, 1)
        with pytest.MonkeyPatch.context() as patch:
            found = killed_for_real(request, folder / f"kill{number}", template, patch)
        total.update(
            killed=found["killed"], twice=len(found["personas"]) != 5, over=found["used"] > BILL
        )
    text = report(trials, kills, total, kinds)
    (HERE / "money.md").write_text(text, "utf-8")
    print(text)
    if total["twice"] or total["over"] or total["done"] < trials:
        sys.exit(1)


def report(trials: int, kills: int, total: Counter, kinds: Counter) -> str:
    """The figures as Markdown."""
    struck = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    struck = textwrap.fill(f"Faults struck, by kind: {struck}.", 100)
    return f"""# Credits under fire

`python benchmarks/money.py {trials} {kills}`: five personas, one question to Mave and five replies,
a bill of {BILL:,} credits at most, bought from a Mavera on this machine while things go wrong by
seed. A run that failed or died is started again until it is done. Seconds of waiting are
milliseconds here; everything else is the kit as it is.

| what | count |
|---|---|
| accounts | {trials} |
| faults on charging calls | {total["faults"]} |
| deaths between two steps, or in the middle of a ledger line | {total["deaths"]} |
| starts of the run, all accounts | {total["starts"]} |
| processes ended by SIGKILL, spread over the requests of a run | {total["killed"]} of {kills} |
| outcomes that could not be known and were settled by hand | {total["by_hand"]} |
| accounts done with exactly five personas | {total["done"]} of {trials} |
| accounts whose ledger holds exactly the credits truly charged | {total["exact"]} of {trials} |
| **accounts with two personas for a cluster** | **{total["twice"]}** |
| **accounts charged more than the bill** | **{total["over"]}** |

{struck}

`_after`: the call was carried out before the fault; `_while`: it was carried out after the
connection had dropped; `_before`: never. In some accounts a colleague spends from the same balance
meanwhile, 120 other personas stand in the list, or one of the five is there already.
"""


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
