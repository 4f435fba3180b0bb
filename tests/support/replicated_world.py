"""A world with several replicas of the broker behind a balancer, and several etcd servers."""

from __future__ import annotations

import base64
import hashlib
from contextlib import ExitStack
from pathlib import Path

from balancer import Balancer
from cluster import Cluster
from machine import Machine
from waiting import eventually
from world import World

from alibroker.actors.settings import EngineSettings
from alibroker.etcd.embedded import Timing
from alibroker.etcd.sealing import Sealer

TIMING = Timing(heartbeat=50, election=500)
"""For etcd servers that are close together, on a machine that has other things to do."""
KEY = base64.b64encode(hashlib.sha256(b"laboratory").digest()).decode()


class ReplicatedWorld(World):
    """A world whose platform opens a connection for each request, and meets another replica.

    Args:
        directory: where all data lie.
        replicas: how many machines with a broker there are.
        members: how many etcd servers there are.
        settings: more settings of the brokers.
    """

    def __init__(
        self, directory: Path, *, replicas: int = 3, members: int = 3, **settings: str
    ) -> None:
        self._replicas = replicas
        self.machines: list[Machine] = []
        self.balancer: Balancer | None = None
        with ExitStack() as stack:
            cluster = Cluster(directory, members=members, timing=TIMING)
            self.cluster = stack.enter_context(cluster)
            stack.callback(self._stop_broker)
            super().__init__(directory, ALIBROKER_SEAL_KEY=KEY, **settings)
            self._rest = stack.pop_all()
        self.session.headers["Connection"] = "close"

    def _start_broker(self) -> None:
        endpoints = {name: self.cluster.endpoint(name) for name in self.cluster.names}
        for number in range(1, self._replicas + 1):
            place = self.directory / f"machine-{number}"
            self.machines.append(Machine(place, self.settings, endpoints))
            self.machines[-1].start()
        self.balancer = Balancer([machine.port for machine in self.machines])
        for machine in self.machines:
            self.await_ready(machine)

    def await_ready(self, machine: Machine, timeout: float = 90) -> None:
        """Wait until the balancer sends requests to a machine."""
        assert self.balancer is not None
        ready = self.balancer
        eventually(lambda: machine.port in ready.ready, timeout)

    def _stop_broker(self) -> None:
        while self.machines:
            self.machines.pop().end()
        if self.balancer is not None:
            self.balancer.stop()
            self.balancer = None

    @property
    def url(self) -> str:
        """Where the platform reaches the broker: at the balancer."""
        assert self.balancer is not None
        return self.balancer.url

    @property
    def operator_url(self) -> str:
        """Where its operator does: at one of the replicas, to hear what it has been told to do."""
        return self.machines[0].broker.url

    @property
    def logs(self) -> list[Path]:
        """What the replicas write their logs to."""
        return [machine.log for machine in self.machines]

    @property
    def store(self) -> str:
        """Where the store is reached when nothing is hurt."""
        return self.cluster.endpoints[0]

    def sealer(self) -> Sealer:
        """Return what opens the secrets in the store."""
        return EngineSettings(seal_key=KEY).sealer()

    def stop(self) -> None:
        """Stop all."""
        super().stop()
        self._rest.close()
