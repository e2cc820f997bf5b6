"""Workers of a Dask cluster: the one place that imports dask.distributed (extra ``dask``)."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from collections.abc import Callable, Sequence
from importlib import metadata, resources
from typing import Any

from helpers.core.errors import KitError, ParameterError, ServiceError
from helpers.core.progress import progress
from helpers.store.engine import Room

ANSWERS = 10.0  # seconds for a scheduler to answer
WORKERS_COME = 30.0  # seconds for its first worker
MEMORY_OF_DUCKDB = 0.7  # of a worker's; the rest is for Python and what is on its way
MUST_MATCH = ("viewer-personas", "duckdb", "pyarrow")


@functools.cache
def cluster(address: str) -> Cluster:
    """The cluster behind a scheduler's address; one connection for this process.

    Raises
    ------
    ParameterError
        Dask is not installed here.
    ServiceError
        No scheduler answers, it has no workers, or they do not match this kit.
    """
    return Cluster(address)


class Cluster:
    """Workers behind a scheduler; see :class:`helpers.store.shards.Workers`.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.5:8786``.

    References
    ----------
    Dask.distributed, Client and Resilience.
    """

    def __init__(self, address: str):
        try:
            import distributed
        except ImportError:
            raise ParameterError(
                "Setting VIEWER_PERSONAS_DASK names a Dask scheduler, and Dask is not installed. "
                "Install it in the project's folder with pip install '.[dask]', or unset the "
                "setting."
            ) from None
        self.address = address
        try:
            self._client = distributed.Client(address, timeout=ANSWERS, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise ServiceError(
                f"No Dask scheduler answers at {address} within {ANSWERS:.0f} s "
                f"({type(error).__name__}). Start it, or unset VIEWER_PERSONAS_DASK to use this "
                "machine alone."
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_COME)
        except TimeoutError:
            raise ServiceError(
                f"The Dask scheduler at {address} has no workers and got none within "
                f"{WORKERS_COME:.0f} s. Start some (dask worker {address}) and run again."
            ) from None
        self._check_versions()
        print(f"Dask cluster {address}: {self.count} at work, see {self._client.dashboard_link}")

    @property
    def count(self) -> int:
        """Threads of all workers."""
        return sum(self._client.nthreads().values())

    def _check_versions(self) -> None:
        """What a worker runs must be what this kit runs, or numbers might differ."""
        own = versions()
        try:
            theirs = self._client.run(versions)
        except Exception as error:  # whatever a worker without the kit makes of the call
            raise ServiceError(
                f"A worker of the Dask cluster {self.address} cannot run the kit "
                f"({type(error).__name__}: {error}). Install the same version of viewer-personas "
                "where the workers run."
            ) from None
        for worker, found in theirs.items():
            wrong = [f"{name} {found[name]} (here {own[name]})" for name in own
                     if found[name] != own[name]]  # fmt: skip
            if wrong:
                raise ServiceError(
                    f"Versions do not match: worker {worker} has {', '.join(wrong)}. Install the "
                    "same versions where the workers run, and run again."
                )

    def run(self, what: str, function: Callable, tasks: Sequence[tuple]) -> list:
        """``function(*task, room=Room)`` of each task on the workers, in the tasks' order.

        Task n goes to the same worker each time while that one lives, and to another when not.

        Raises
        ------
        ServiceError
            A task failed, workers died again and again, or the scheduler is gone.
        """
        from distributed import as_completed

        futures: list[Any] = []
        try:
            workers = sorted(self._client.nthreads())
            for number, task in enumerate(tasks):
                futures.append(
                    self._client.submit(
                        _on_worker, function, task, pure=False, allow_other_workers=True,
                        workers=[workers[number % len(workers)]] if workers else None,
                    )
                )  # fmt: skip
            found = {}
            with progress(f"Dask: {what}", "shard", len(tasks)) as bar:
                for future in as_completed(futures, loop=self._client.loop):
                    found[future] = future.result()
                    bar.update()
            return [found[future] for future in futures]
        except KitError:
            raise
        except Exception as error:
            raise ServiceError(
                f"The Dask cluster {self.address} failed at “{what}”: {_reason(error)} "
                "What was fetched is kept; run again to go on, or unset VIEWER_PERSONAS_DASK to "
                "use this machine alone."
            ) from error
        finally:
            for future in futures:
                future.release()


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    unseen = (
        "a worker cannot read or write the shards. All workers must see the outputs folder under "
        "the same path, or the folder or URL of VIEWER_PERSONAS_DASK_PATH."
    )
    known = {
        "KilledWorker": "workers died at the same task again and again (out of memory?).",
        "FutureCancelledError": "the scheduler forgot the task; was it restarted?",
        "CancelledError": "the scheduler forgot the task; was it restarted?",
        "CommClosedError": "the connection to the scheduler broke.",
        "OutOfMemoryException": "a worker ran out of memory. Set VIEWER_PERSONAS_SHARDS higher.",
        "IOException": unseen,
        "FileNotFoundError": unseen,
    }
    return known.get(kind, f"{kind}.")


def _on_worker(function: Callable, task: tuple) -> Any:
    from distributed import get_worker

    worker = get_worker()
    limit = worker.memory_manager.memory_limit
    mine = limit and f"{limit * MEMORY_OF_DUCKDB / worker.state.nthreads / 1e6:.0f}MB"
    return function(*task, room=Room(worker.local_directory, mine))


def _digest() -> str:
    package = resources.files("helpers.store")
    files = [package / "shards.py", package / "engine.py", *package.joinpath("sql").iterdir()]
    texts = sorted((file.name, file.read_text("utf-8")) for file in files)
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:8]


STATEMENTS = _digest()  # as they were when this process began


def versions() -> dict[str, str]:
    """What computes here: Python, the kit and the libraries whose answers must agree."""
    found = {"Python": platform.python_version().rpartition(".")[0]}
    found |= {name: metadata.version(name) for name in MUST_MATCH}
    return found | {"statements of the kit": STATEMENTS, "byte order": sys.byteorder}
