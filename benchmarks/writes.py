"""How many durable writes a second go through the storage actor, beside what etcd alone gives.

All rows have the same callers, the same etcd and values of about the same size, in the same run:

- an actor that writes one message at a time;
- an actor that writes what waits in its inbox as one transaction, and does nothing else;
- the broker's storage actor, which decides on provisions, seals and writes them;
- the whole engine: each provision is accepted (one write), made by a plugin that has nothing to do,
  and ended (another write).
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pykka
from recovery import PLAN, SERVICE, Nothing

from alibroker.actors.actor import Address
from alibroker.actors.messages import Change, Tick
from alibroker.actors.repository import Repository
from alibroker.actors.settings import EngineSettings
from alibroker.actors.storage import Storage
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import checked
from alibroker.etcd.client import MAX_ENTRIES, Committed, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.commands import Provision, Verdict
from alibroker.lifecycle.view import View

CALLERS = 64
TIMEOUT = 10.0
CONTEXT = {"platform": "cloudfoundry", "organization_name": "o" * 100, "space_name": "s" * 100}
VALUE = b"x" * 800
"""About the size of what the storage actor writes for a provision."""

Submit = Callable[[], "Future[Any]"]


@dataclass(frozen=True)
class Rate:
    """What was measured."""

    what: str
    per_second: float
    p50_ms: float
    p99_ms: float


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


def measure(what: str, submit: Submit, count: int, check: Callable[[Any], bool]) -> Rate:
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
    return Rate(what, count / seconds, cuts[49] * 1000, cuts[98] * 1000)


@contextmanager
def plain(kind: type[pykka.ThreadingActor], etcd: Etcd) -> Iterator[Submit]:
    """Give what submits to an actor that only writes."""
    actor = kind.start(etcd)
    numbers = itertools.count()
    prefix = f"/bench/{kind.__name__}/"

    def submit() -> Future[Any]:
        reply: Future[Any] = Future()
        actor.tell((f"{prefix}{next(numbers)}", reply))
        return reply

    try:
        yield submit
    finally:
        actor.stop()


@contextmanager
def storage(etcd: Etcd, directory: Path, count: int) -> Iterator[Submit]:
    """Give what submits to the storage actor; nobody takes the steps that it hands out."""
    provisions = iter([provision() for _ in range(count)])
    address, view = Address("storage"), View()
    actor = Storage.start(
        address,
        Address("supervisor"),
        store=Repository(
            etcd, Sealer({"k": bytes(32)}, "k"), timeout=TIMEOUT, marker=directory / "store.json"
        ),
        view=view,
        dispatcher=Address("dispatcher"),
        pollers={Nothing.name: Address("poller")},
        catalog=Catalog([checked(Nothing())]),
        lifetime=86_400.0,
    )
    address.move_to(actor)
    address.tell(Tick())
    while not view.available:
        time.sleep(0.01)

    def submit() -> Future[Any]:
        reply: Future[Any] = Future()
        address.tell(Change(next(provisions), Nothing.name, reply))
        return reply

    try:
        yield submit
    finally:
        actor.stop()


def engine(etcd: Etcd, directory: Path, count: int) -> Rate:
    """Measure the whole engine, from the first provision to the end of the last operation."""
    settings = EngineSettings(data_dir=directory, max_operations=10 * count)
    provisions = iter([provision() for _ in range(count)])
    system = BrokerSystem([Nothing()], etcd, Sealer({"k": bytes(32)}, "k"), settings)
    with system:
        system.wait_until_ready(timeout=60)
        started = time.perf_counter()
        rate = measure(
            "",
            lambda: system.submit(next(provisions)),
            count,
            lambda a: a.verdict is Verdict.STARTED,
        )
        while system.view.in_progress(SERVICE):
            time.sleep(0.001)
        seconds = time.perf_counter() - started
    return Rate("the whole engine", 2 * count / seconds, rate.p50_ms, rate.p99_ms)


def main(count: int) -> None:
    """Measure and print."""
    # As the deployed process has it (http/app.py); the same for all that is compared.
    gc.set_threshold(50_000, 10, 1000)
    with tempfile.TemporaryDirectory(prefix="alibroker-bench-") as directory:
        data_dir = Path(directory)
        with EmbeddedEtcd(data_dir / "etcd") as server, Etcd([server.endpoint]) as etcd:

            def written(outcome: Any) -> bool:
                return isinstance(outcome, Committed)

            with plain(OneByOne, etcd) as submit:
                measure("", submit, count // 10, written)
                single = measure("one write per message", submit, count // 4, written)
            with plain(InGroups, etcd) as submit:
                grouped = measure("group commit and nothing else", submit, count, written)
            with storage(Etcd([server.endpoint]), data_dir, count) as submit:
                stored = measure(
                    "the storage actor", submit, count, lambda a: a.verdict is Verdict.STARTED
                )
            (data_dir / "store.json").unlink()
            whole_rate = engine(Etcd([server.endpoint]), data_dir, count // 2)
    print(f"durable writes at {CALLERS} callers:")
    for rate in (single, grouped, stored, whole_rate):
        print(
            f"  {rate.what:30} {rate.per_second:8,.0f} a second, "
            f"p50 {rate.p50_ms:.1f} ms, p99 {rate.p99_ms:.1f} ms"
        )
    print(
        f"the storage actor: {stored.per_second / single.per_second:.1f} times one write per "
        f"message (goal: at least 5), {stored.per_second / grouped.per_second:.2f} of group "
        "commit alone (goal: at least 0.5)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
