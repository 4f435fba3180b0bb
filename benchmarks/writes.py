"""How many durable writes a second go through the storage actor, beside what etcd alone gives.

All rows have the same callers, the same etcd and values of about the same size, in the same run:

- an actor that writes one message at a time;
- an actor that writes what waits in its inbox as one transaction, and does nothing else;
- the broker's storage actor, which decides on provisions, seals and writes them;
- the whole engine: each provision is accepted (one write), made by a plugin that has nothing to do,
  and ended (another write).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pykka
from recovery import PLAN, SERVICE, Nothing
from results import Results, alternate
from rich.console import Console
from rich.table import Table

from alibroker.actors.messages import Change, Tick
from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.etcd.client import MAX_ENTRIES, Committed, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.commands import Provision, Verdict

CALLERS = 64
BETWEEN, P50, P99 = "us between writes", "p50 ms", "p99 ms"
FLOOR = "group commit and nothing else"
TIMEOUT = 10.0
CONTEXT = {"platform": "cloudfoundry", "organization_name": "o" * 100, "space_name": "s" * 100}
VALUE = b"x" * 800
"""About the size of what the storage actor writes for a provision."""

Submit = Callable[[], "Future[Any]"]


class OneByOne(pykka.ThreadingActor):
    """Writes one message at a time."""

    def __init__(self, etcd: Etcd) -> None:
        super().__init__()
        self._etcd = etcd

    def on_receive(self, message: tuple[str, Future[Any]]) -> None:
        """Write it and answer."""
        key, reply = message
        (outcome,) = self._etcd.commit([Entry(key, VALUE, 0)], timeout=TIMEOUT)
        reply.set_result(outcome)


class InGroups(pykka.ThreadingActor):
    """Writes what waits as one transaction."""

    def __init__(self, etcd: Etcd) -> None:
        super().__init__()
        self._etcd = etcd
        self._waiting: list[tuple[str, Future[Any]]] = []

    def on_receive(self, message: tuple[str, Future[Any]]) -> None:
        """Gather, and write when nothing more waits."""
        self._waiting.append(message)
        if len(self._waiting) < MAX_ENTRIES and not self.actor_inbox.empty():
            return
        some, self._waiting = self._waiting, []
        entries = [Entry(key, VALUE, 0) for key, _ in some]
        outcomes = self._etcd.commit(entries, timeout=TIMEOUT)
        for (_, reply), outcome in zip(some, outcomes, strict=True):
            reply.set_result(outcome)


def provision() -> Provision:
    """Return a provision of an instance that is new.

    They are made before the clock starts: random ids cost the caller about as much as the broker's
    own work on them.
    """
    return Provision(
        instance_id=str(uuid.uuid4()),
        service_id=SERVICE,
        plan_id=PLAN,
        operation_id=uuid.uuid4().hex,
        duration=600.0,
        accepts_incomplete=True,
        organization_guid=str(uuid.uuid4()),
        space_guid=str(uuid.uuid4()),
        context=CONTEXT,
    )


def measure(submit: Submit, count: int, check: Callable[[Any], bool]) -> dict[str, float]:
    """Let all callers submit one after the other, until so many were answered."""
    latencies: list[float] = []
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            started = time.perf_counter()
            answer = await asyncio.wrap_future(submit())
            latencies.append(time.perf_counter() - started)
            assert check(answer), answer

    async def all_callers() -> None:
        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    started = time.perf_counter()
    asyncio.run(all_callers())
    seconds = time.perf_counter() - started
    cuts = statistics.quantiles(latencies, n=100)
    return {BETWEEN: 1e6 * seconds / count, P50: cuts[49] * 1000, P99: cuts[98] * 1000}


def system(etcd: Etcd, directory: Path, count: int) -> BrokerSystem:
    """Return a broker whose plugin has nothing to do."""
    settings = EngineSettings(data_dir=directory, max_operations=10 * count, store_timeout=TIMEOUT)
    return BrokerSystem([Nothing()], etcd, Sealer({"k": bytes(32)}, "k"), settings)


def written(outcome: Any) -> bool:
    """Whether the actor has written."""
    return isinstance(outcome, Committed)


def accepted(answer: Any) -> bool:
    """Whether the broker has accepted a change."""
    return bool(answer.verdict is Verdict.STARTED)


class Bench:
    """What is measured, each with an etcd client of its own."""

    def __init__(self, endpoint: str, directory: Path, count: int) -> None:
        self._endpoint = endpoint
        self._directory = directory
        self._count = count

    def plain(self, kind: type[pykka.ThreadingActor], count: int) -> dict[str, float]:
        """Measure an actor that only writes."""
        with Etcd([self._endpoint]) as etcd:
            actor = kind.start(etcd)
            prefix = f"/bench/{uuid.uuid4()}/"
            numbers = itertools.count()

            def submit() -> Future[Any]:
                reply: Future[Any] = Future()
                actor.tell((f"{prefix}{next(numbers)}", reply))
                return reply

            try:
                return measure(submit, count, written)
            finally:
                actor.stop()

    def storage(self) -> dict[str, float]:
        """Measure the storage actor; nobody takes the steps that it hands out."""
        provisions = iter([provision() for _ in range(self._count)])
        broker = system(Etcd([self._endpoint]), self._directory, self._count)
        actor = broker._start_storage()  # noqa: SLF001 - a system starts all its actors, or none
        address = broker._storage  # noqa: SLF001 - the same
        address.move_to(actor)
        address.tell(Tick())
        while not broker.view.available:
            time.sleep(0.01)

        def submit() -> Future[Any]:
            reply: Future[Any] = Future()
            address.tell(Change(next(provisions), Nothing.name, reply))
            return reply

        try:
            return measure(submit, self._count, accepted)
        finally:
            actor.stop()

    def engine(self) -> dict[str, float]:
        """Measure the whole engine, from the first provision to the end of the last operation."""
        count = self._count // 2
        provisions = iter([provision() for _ in range(count)])
        with system(Etcd([self._endpoint]), self._directory, count) as broker:
            broker.wait_until_ready(timeout=60)
            started = time.perf_counter()
            found = measure(lambda: broker.submit(next(provisions)), count, accepted)
            while broker.view.in_progress(SERVICE):
                time.sleep(0.001)
            seconds = time.perf_counter() - started
        return {**found, BETWEEN: 1e6 * seconds / (2 * count)}


def main() -> None:
    """Measure, print, and write the result if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--writes", type=int, default=8_000, help="of each kind in each round")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    # As the deployed process has it (http/starting.py); the same for all that is compared.
    gc.set_threshold(50_000, 10, 1000)
    with tempfile.TemporaryDirectory(prefix="alibroker-bench-") as directory:
        data_dir = Path(directory)
        with EmbeddedEtcd(data_dir / "etcd") as server:
            bench = Bench(server.endpoint, data_dir, options.writes)
            rows = {
                FLOOR: lambda: bench.plain(InGroups, options.writes),
                "one write for each message": lambda: bench.plain(OneByOne, options.writes // 8),
                "the storage actor": bench.storage,
                "the whole engine": bench.engine,
            }
            results = Results(FLOOR, alternate(rows, options.rounds))
    table = Table("durable writes", "per second", P50, P99, "of the floor")
    for row in rows:
        found = [statistics.median(results.measured[what][row]) for what in (BETWEEN, P50, P99)]
        ratio = statistics.median(1 / one for one in results.relative(BETWEEN, row))
        table.add_row(
            row, f"{1e6 / found[0]:,.0f}", *(f"{one:.1f}" for one in found[1:]), f"{ratio:.2f}"
        )
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(
        f"{results.machine}; {CALLERS} callers; medians of {options.rounds} alternating rounds"
    )
    console.print(table)
    if options.json is not None:
        results.write(options.json)


if __name__ == "__main__":
    main()
