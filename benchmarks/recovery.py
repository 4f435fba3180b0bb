"""How long a start takes with many records, and how much memory they need."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from alibroker.actors.settings import EngineSettings
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import Json, Plan, ServiceOffering, Step, Succeeded, Work
from alibroker.etcd import keys
from alibroker.etcd.client import MAX_ENTRIES, Entry, Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.records import encode
from alibroker.etcd.sealing import Sealer
from alibroker.lifecycle.records import (
    Event,
    Instance,
    Operation,
    OperationKind,
    OperationState,
    Private,
)

SERVICE, PLAN = "service", "plan"


class Nothing:
    """A plugin that has nothing to do."""

    name = "nothing"

    def offerings(self) -> Sequence[ServiceOffering]:
        """Return one service."""
        plan = Plan(id=PLAN, name="plan", description="A plan", maximum_polling_duration=60)
        return [
            ServiceOffering(
                id=SERVICE, name="nothing", description="Nothing", bindable=True, plans=(plan,)
            )
        ]

    def provision(self, _work: Work) -> Step:
        """Succeed, as do all steps."""
        return Succeeded()

    update = deprovision = bind = unbind = provision

    def observe(self, _works: Sequence[Work]) -> Mapping[str, Json]:
        """See nothing."""
        return {}

    def close(self) -> None:
        """Hold nothing."""


@dataclass(frozen=True)
class Recovery:
    """What was measured."""

    records: int
    bytes_each: int
    seconds: float
    memory_each: float


def instances(count: int) -> Iterator[Instance]:
    """Yield instances as they lie in etcd after a good life so far."""
    for _ in range(count):
        name = str(uuid.uuid4())
        yield Instance(
            instance_id=name,
            service_id=SERVICE,
            plan_id=PLAN,
            organization_guid=str(uuid.uuid4()),
            space_guid=str(uuid.uuid4()),
            context={"platform": "cloudfoundry", "organization_name": "o", "space_name": "s"},
            created=True,
            resource={"db_instance_id": f"rm-{name[:12]}", "host": "rm.example", "port": "3306"},
            private=Private(parameters={"Storage": 20}),
            operation=Operation(
                id=uuid.uuid4().hex,
                kind=OperationKind.PROVISION,
                started_at=1.7e9,
                deadline=1.7e9 + 3600,
                state=OperationState.SUCCEEDED,
                ended_at=1.7e9 + 100,
                step=3,
            ),
            events=(
                Event(1.7e9, "provision accepted"),
                Event(1.7e9 + 1, "Ordered"),
                Event(1.7e9 + 100, "provision succeeded"),
            ),
        )


def measure(count: int) -> Recovery:
    """Fill an etcd, then start a broker on it."""
    sealer = Sealer({"k": bytes(32)}, "k")
    with tempfile.TemporaryDirectory(prefix="alibroker-bench-") as directory:
        data_dir = Path(directory)
        with EmbeddedEtcd(data_dir / "etcd") as server:
            etcd = Etcd([server.endpoint])
            batch: list[Entry] = []
            size = 0
            for instance in instances(count):
                path = keys.instance_key(instance.instance_id)
                batch.append(Entry(path, encode(instance, sealer, path), 0))
                size += len(batch[-1].value or b"")
                if len(batch) == MAX_ENTRIES:
                    etcd.commit(batch, timeout=30)
                    batch = []
            etcd.commit(batch, timeout=30)
            gc.collect()
            before = psutil.Process().memory_info().rss
            system = BrokerSystem([Nothing()], etcd, sealer, EngineSettings(data_dir=data_dir))
            started = time.perf_counter()
            with system:
                system.wait_until_ready(timeout=300)
                seconds = time.perf_counter() - started
                gc.collect()
                grown = psutil.Process().memory_info().rss - before
    return Recovery(count, size // count, seconds, grown / count)


if __name__ == "__main__":
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    print(
        f"start with {found.records:,} records of {found.bytes_each} bytes: ready after "
        f"{found.seconds:.1f} s (goal: at most 5), {found.memory_each:.0f} bytes of memory each "
        "(goal: at most 2,048)"
    )
