"""Fetching: the published loop and the kit against one server; memory; the next day; kills.

Run ``python benchmarks/fetch.py [speed] [memory] [daily] [kills]``; without a word all four, in
about fifteen minutes. All four write ``benchmarks/fetch.md``. The server is a process of its own on
127.0.0.1: it makes its rows by number, answers a page after 1.2 s and allows 600 requests in any
60 s.
"""

import asyncio
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

LAST = date(2026, 9, 30)
NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
PAUSE = 0.1  # seconds, after each page of the published loop
KILLS = 40


def serve(a_day: int, visitors: int, latency: float, per_minute: int, days: int) -> None:
    """Serve `a_day` sessions on each of `days` days up to LAST, and so many visitors."""
    import uvicorn
    from fetching import event, media, visitor
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    arrivals: deque[float] = deque()
    counts = {"requests": 0, "refused": 0}
    span: list[float] = []
    first = LAST - timedelta(days=days - 1)
    end = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC) + timedelta(days=1)

    async def page(request, made, total: int):
        now = time.monotonic()
        while arrivals and arrivals[0] <= now - 60:
            arrivals.popleft()
        counts["requests"] += 1
        if len(arrivals) >= per_minute:
            counts["refused"] += 1
            return Response("slow down", 429, {"Retry-After": f"{60 - (now - arrivals[0]):.0f}"})
        arrivals.append(now)
        span[1:] = [now]
        begin = (int(request.query_params["page"]) - 1) * 100
        await asyncio.sleep(latency)
        return JSONResponse([made(n) for n in range(begin, min(begin + 100, total))])

    async def events(request):
        oldest = max(date.fromisoformat(request.query_params["start_date"]), first)
        newest = min(date.fromisoformat(request.query_params["end_date"]), LAST)
        skipped = (LAST - newest).days * a_day
        step = timedelta(days=1) / a_day
        return await page(
            request,
            lambda n: event(skipped + n, end - step * (skipped + n + 0.5), f"v-{n % 50_000}"),
            max(0, (newest - oldest).days + 1) * a_day,
        )

    async def people(request):
        step = timedelta(days=days) / max(visitors, 1)
        return await page(
            request, lambda n: visitor(f"visitor-{n}", end - step * (n + 1)), visitors
        )

    async def medias(request):
        return await page(request, lambda n: media(f"{n}-video"), 50)

    async def told(request):
        answer = {**counts, "seconds": span[-1] - span[0] if span else 0.0}
        counts.update(dict.fromkeys(counts, 0))
        span.clear()
        return JSONResponse(answer)

    app = Starlette(
        routes=[
            Route("/v1/stats/events.json", events),
            Route("/v1/stats/visitors.json", people),
            Route("/v1/medias.json", medias),
            Route("/told", told),
        ]
    )
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)

    async def main():
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

    asyncio.run(main())


class Server:
    """The server as a process."""

    def __init__(self, a_day: int, visitors: int, *, latency=0.0, per_minute=10**9, days=730):
        numbers = (a_day, visitors, latency, per_minute, days)
        command = [sys.executable, __file__, "serve", *map(str, numbers)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.pages = -(-a_day * days // 100) + -(-visitors // 100) + 1

    def told(self) -> dict[str, float]:
        import requests

        return requests.get(self.url + "/told", timeout=60).json()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def kit(url: str, outputs: Path, *, now: datetime = NOW, days: int = 730, per_minute=600) -> dict:
    """A fetch in a process of its own: its facts, seconds and peak memory [MB]."""
    end = now.date() - timedelta(days=1)
    environment = os.environ | {
        "VIEWER_PERSONAS_OUTPUTS": str(outputs),
        "VIEWER_PERSONAS_NOW": now.isoformat(),
        "VIEWER_PERSONAS_REQUESTS_PER_MINUTE": str(per_minute),
        "VIEWER_PERSONAS_ENV_FILE": os.devnull,
        "WISTIA_API_TOKEN": "token",
        "WISTIA_BASE_URL": url,
    }
    command = [sys.executable, __file__, "fetch", f"{end - timedelta(days=days - 1)}", f"{end}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def fetch_here(start: str, end: str) -> None:
    """What the process of :func:`kit` does."""
    from fetching import go

    begun = time.monotonic()
    facts = go(start_date=start, end_date=end).model_dump(mode="json")
    facts["wall"] = round(time.monotonic() - begun, 1)
    facts["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(facts))


def published_loop(url: str, seconds: float) -> float:
    """Pages a minute of the loop as published: one request after another, then a pause."""
    import requests

    begun, number = time.monotonic(), 0
    query = {"start_date": "2024-10-01", "end_date": f"{LAST}", "per_page": 100}
    while time.monotonic() - begun < seconds:
        number += 1
        rows = requests.get(
            url + "/v1/stats/events.json",
            params={**query, "page": number},
            headers={"Authorization": "Bearer token"},
            timeout=30,
        ).json()
        assert rows
        time.sleep(PAUSE)
    return number / (time.monotonic() - begun) * 60


def speed(folder: Path) -> list[str]:
    """The published loop and the kit, one after the other, against one server."""
    with Server(411, 0, latency=1.2, per_minute=600) as server:
        loop = published_loop(server.url, 90)
        time.sleep(61)  # the server still counts the loop's requests
        server.told()
        facts = kit(server.url, folder / "speed")
        told = server.told()
    pages = facts["sessions"]["pages"]
    minutes = facts["wall"] / 60
    rate = told["requests"] / told["seconds"] * 60
    assert told["refused"] == facts["throttled"] == 0
    return [
        f"| pages in the pull | {pages:,} |",
        f"| the published loop, pages a minute | {loop:.0f} |",
        f"| the kit, pages a minute, whole pull | {pages / minutes:.0f} |",
        f"| the kit, requests a minute as they reached the server | {rate:.0f} of 600 |",
        f"| **ratio** | **{pages / minutes / loop:.1f}** |",
        f"| answers 429 | {told['refused']} |",
        f"| requests beyond the pages | {told['requests'] - server.pages} "
        f"({(told['requests'] - server.pages) / server.pages:.1%}) |",
        f"| peak memory | {facts['memory']} MB |",
    ]


def memory(folder: Path) -> list[str]:
    """A million sessions and 300,000 visitors."""
    lines = []
    for a_day, visitors in ((137, 30_000), (1370, 300_000)):
        with Server(a_day, visitors) as server:
            facts = kit(server.url, folder / f"memory-{a_day}", per_minute=100_000)
            extra = facts["requests"] - server.pages
        lines.append(
            f"| {facts['sessions']['rows']:,} | {facts['visitors']['rows']:,} | "
            f"{facts['requests']:,} | {extra} ({extra / server.pages:.1%}) | {facts['memory']} MB |"
        )
        assert facts["memory"] < 600 and facts["sessions"]["rows"] == a_day * 730
    return lines


def daily(folder: Path) -> list[str]:
    """An account of 100,000 sessions and 60,000 visitors: the first run, and the next day's."""
    outputs = folder / "daily"
    with Server(137, 60_000, days=731) as server:
        # The server's last day is 30 September; the first run stands a day before.
        first = kit(server.url, outputs, now=NOW - timedelta(days=1), per_minute=100_000)
        second = kit(server.url, outputs, per_minute=100_000)
    share = second["requests"] / first["requests"]
    assert share <= 0.03
    return [
        f"| first run | {first['requests']:,} | {first['sessions']['new']:,} |",
        f"| next day | {second['requests']:,} ({share:.1%}) | {second['sessions']['new']:,} |",
    ]


def kills(folder: Path, points: int = KILLS) -> list[str]:
    """Kill -9 spread over a fetch, then go on: the tables must equal those of one not disturbed."""
    import fetching

    window = {"start_date": "2026-09-16", "end_date": "2026-09-30"}
    served = fetching.Served(*fetching.rows_of(15, 11, 120)).start()
    environment = fetching.settings(folder / "kills", served.url)
    environment["VIEWER_PERSONAS_ENV_FILE"] = os.devnull
    os.environ.update(environment)
    fetching.quick(5)
    fetching.go(**window)
    store = fetching.Store(folder / "kills" / "store" / "live")
    expected, requests = fetching.tables(store), len(served.log)
    same = twice = 0
    for point in range(points):
        at, late = 1 + point * requests // points, (point % 10) * 0.01
        found, again = fetching.kill_and_go_on(served, environment, 5, at, late, window)
        same += found == expected
        twice += len(again)
    served.stop()
    assert same == points and twice == 0
    return [
        f"| kill -9, spread over the {requests} requests of a fetch and the time after each "
        f"| {points} |",
        f"| runs that went on and ended with the same tables | {same} of {points} |",
        f"| finished days read again | {twice} |",
    ]


TEXT = """# Fetching: speed, memory, the next day, kills

`python benchmarks/fetch.py`: everything below in one run, on {cores} cores that the server shares.

## The published loop and the kit against one server
1.2 s a page, 600 requests in any 60 s. The loop as published: one request after another, {pause} s
of pause.

| what | figure |
|---|---|
{speed}

The limit is kept by counting 600 in 61 s, so that none is refused however unevenly requests travel:
590 a minute is the most there can be. Sessions come in lists of about twenty pages: each list has a
last page that is not full and a request that finds its end. These are the requests beyond the
pages.

## Memory and requests, no latency, no limit
| sessions | visitors | requests | beyond the pages | peak memory |
|---|---|---|---|---|
{memory}

## The next day, on an account of 100,000 sessions and 60,000 visitors
| run | requests | sessions new |
|---|---|---|
{daily}

## Kills
| what | count |
|---|---|
{kills}
"""


def main(*words: str) -> None:
    parts = {"speed": speed, "memory": memory, "daily": daily, "kills": kills}
    folder = Path(tempfile.mkdtemp(prefix="fetch-"))
    found = {}
    for name in words or parts:
        begun = time.monotonic()
        found[name] = "\n".join(parts[name](folder))
        print(f"{name} ({time.monotonic() - begun:.0f} s)\n{found[name]}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    if len(found) == len(parts):
        text = TEXT.format(cores=os.cpu_count(), pause=PAUSE, **found)
        (HERE / "fetch.md").write_text(re.sub(r"\n{3,}", "\n\n", text), "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        a_day, people, delay, limit, span = sys.argv[2:]
        serve(int(a_day), int(people), float(delay), int(limit), int(span))
    elif sys.argv[1:2] == ["fetch"]:
        fetch_here(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
