"""Workers of a Dask cluster: the one place that imports dask.distributed (extra ``dask``)."""

import functools
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

import pyarrow as pa

from helpers.core import files
from helpers.core.errors import ParameterError, ServiceError

ANSWERS = 10.0  # seconds for a scheduler to answer, and for its first worker
MEMORY_OF_DUCKDB = 0.7  # of a worker's; the rest is for Python and what is on its way
MUST_MATCH = ("viewer-personas", "duckdb", "pyarrow")
ALONE = "unset VIEWER_PERSONAS_DASK to use this machine alone."
REASONS = files.read_package_yaml("store/words.yml")["dask"]


class Cluster:
    """Workers behind a scheduler, at work side by side.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.5:8786``.

    Raises
    ------
    ParameterError
        Dask is not installed here.
    ServiceError
        No scheduler with workers answers, or they do not match this kit.

    References
    ----------
    Dask.distributed, Client and Resilience.
    """

    def __init__(self, address: str):
        try:
            import distributed
        except ImportError:
            remedy = f"Run pip install '.[dask]' in the project's folder, or {ALONE}"
            raise ParameterError("Dask is not installed.", remedy=remedy) from None
        self.address = address
        try:
            self._client = distributed.Client(address, timeout=ANSWERS, set_as_default=False)
            self._client.wait_for_workers(1, timeout=ANSWERS)
        except (OSError, TimeoutError):
            what = f"No Dask scheduler with workers answers at {address} within {ANSWERS:.0f} s."
            raise ServiceError(what, remedy=f"Start them, or {ALONE}") from None
        here = versions()  # elsewhere others, and numbers might differ
        for worker, found in self._client.run(versions, on_error="return").items():
            if found != here:
                what = f"Worker {worker} has {found}, and here is {here}."
                raise ServiceError(what, remedy="Install the same versions where workers run.")
        print(f"Dask cluster {address}: {self.count} at work, see {self._client.dashboard_link}")

    @property
    def count(self) -> int:
        """Threads of all workers."""
        return sum(self._client.nthreads().values())

    def ask(self, ask_shard: Callable, tasks: list[tuple]) -> Iterator[pa.Table]:
        """What shards answer to the tasks, in their order; see :func:`.shards.ask_shard`.

        Task n goes to the same worker each time while that one lives, and to another when not.

        Raises
        ------
        ServiceError
            A task failed, workers died again and again, or the scheduler is gone.
        """
        options = {"pure": False, "allow_other_workers": True}
        try:
            workers = sorted(self._client.nthreads())
            futures = []
            for number, task in enumerate(tasks):
                options["workers"] = workers[number % len(workers)] if workers else None
                futures.append(self._client.submit(_on_worker, ask_shard, task, **options))
            while futures:
                yield futures.pop(0).result()  # and the cluster forgets it
        except Exception as error:
            kind = type(error).__name__
            what = f"The Dask cluster {self.address} failed: {REASONS.get(kind, kind)}."
            raise ServiceError(what, remedy=f"Run again to go on, or {ALONE}") from error


cluster = functools.cache(Cluster)  # one connection for this process


def _on_worker(ask_shard: Callable, task: tuple) -> pa.Table:
    from distributed import get_worker

    worker = get_worker()
    limit = worker.memory_manager.memory_limit
    own = limit and f"{limit * MEMORY_OF_DUCKDB / worker.state.nthreads / 1e6:.0f}MB"
    return ask_shard(*task, own, f"{worker.local_directory}/spill")


def versions() -> str:
    """What computes here: Python, the kit and the libraries whose answers must agree."""
    installed = ", ".join(f"{name} {metadata.version(name)}" for name in MUST_MATCH)
    return f"{installed}, Python {sys.version_info.major}.{sys.version_info.minor}"
