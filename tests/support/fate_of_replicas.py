"""What goes wrong among several replicas: each is hurt for itself, while the others go on."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from fate import Chance, Fate
from machine import Machine
from relay import Relay
from replicated_world import ReplicatedWorld

LEASE = 6.0
"""Seconds after which a replica that gives no sign of life is taken for dead."""
LONGER = (LEASE + 1.0, LEASE + 4.0)
SHORTER = (0.1, 2.0)
WRONG_BY = 1.0
"""Seconds by which a clock is set wrong at the most: replicas compare times of each other's, and
what is to wait in these worlds waits for three."""


class FateOfReplicas(Fate):
    """Hurts several replicas and etcd servers at a time, mostly not all of them at once."""

    world: ReplicatedWorld

    def __init__(self, world: ReplicatedWorld, seed: int) -> None:
        super().__init__(world, seed)
        self._pool = ThreadPoolExecutor(thread_name_prefix="fate")
        self._lock = threading.Lock()
        self._well = set(world.machines)
        self._whole = len(world.cluster.names) > 1
        """Whether all etcd servers are there."""
        self._suffering: list[Future[None]] = []

    def _all_crashes(self) -> list[Chance]:
        crashes = [
            ("replica killed", 20, self._on_machine(self._kill)),
            ("worker killed", 14, self._on_machine(self._kill_worker)),
            ("replica paused", 10, self._on_machine(self._pause_for, SHORTER)),
            ("replica paused beyond its lease", 9, self._on_machine(self._pause_for, LONGER)),
            ("replica cut off", 8, self._on_machine(self._cut_off, SHORTER)),
            ("replica cut off beyond its lease", 8, self._on_machine(self._cut_off, LONGER)),
            ("replica restarted", 12, self._on_machine(self._restart)),
            ("all replicas restarted in turn", 3, self._restart_all),
            ("clock set", 5, self._on_machine(self._set_clock)),
            ("cloud killed", 3, self.world.kill_sandbox),
        ]
        if len(self.world.cluster.names) > 1:
            crashes += [
                ("etcd server killed", 6, self._on_member(self._kill_member)),
                ("etcd server paused", 5, self._on_member(self._pause_member)),
                ("etcd server cut off", 6, self._on_member(self._cut_off_member)),
            ]
        return crashes

    def _relays(self) -> list[Relay]:
        return [relay for machine in self.world.machines for relay in machine.relays.values()]

    def strike(self, over: threading.Event) -> None:
        """Wait for a random instant and begin to hurt something; others may still suffer."""
        over.wait(self._crash_chance.uniform(0.0, 1.5))
        weights = [weight for _, weight, _ in self._victims]
        name, _, hurt = self._crash_chance.choices(self._victims, weights=weights)[0]
        if hurt() is not False:
            self.crashes[name] += 1
        for one in [one for one in self._suffering if one.done()]:
            one.result()
            self._suffering.remove(one)

    def calm(self) -> None:
        """Take back every fault, and wait until all are well."""
        for one in self._suffering:
            one.result()
        super().calm()
        for machine in self.world.machines:
            self.world.await_ready(machine)

    # -- replicas -------------------------------------------------------------------------------

    def _on_machine(
        self,
        hurt: Callable[..., None],
        lasting: tuple[float, float] = (0.0, 3.0),
    ) -> Callable[[], bool]:
        """Return what does that to a machine that is well, and returns whether there was one."""

        def strike() -> bool:
            with self._lock:
                # Mostly one stays well; it may come to be the turn of the last one, too.
                spared = 0 if self._crash_chance.random() < 0.1 else 1
                well = [one for one in self.world.machines if one in self._well]
                if len(well) <= spared:
                    return False
                machine = self._crash_chance.choice(well)
                self._well.discard(machine)
            seconds = self._crash_chance.uniform(*lasting)
            chance = random.Random(self._crash_chance.random())  # noqa: S311 - not a secret
            self._suffering.append(self._pool.submit(self._suffer, machine, hurt, seconds, chance))
            return True

        return strike

    def _suffer(
        self, machine: Machine, hurt: Callable[..., None], seconds: float, chance: random.Random
    ) -> None:
        hurt(machine, seconds, chance)
        self.world.await_ready(machine)
        with self._lock:
            self._well.add(machine)

    def _kill(self, machine: Machine, seconds: float, _: random.Random) -> None:
        machine.kill()
        _last(seconds)
        machine.start()

    def _kill_worker(self, machine: Machine, _: float, __: random.Random) -> None:
        machine.signal(signal.SIGKILL)

    def _pause_for(self, machine: Machine, seconds: float, _: random.Random) -> None:
        machine.signal(signal.SIGSTOP)
        _last(seconds)
        machine.signal(signal.SIGCONT)

    def _cut_off(self, machine: Machine, seconds: float, chance: random.Random) -> None:
        machine.cut_off(silently=chance.random() < 0.5)
        _last(seconds)
        machine.connect()

    def _restart(self, machine: Machine, seconds: float, _: random.Random) -> None:
        machine.stop()
        _last(seconds)
        machine.start()

    def _set_clock(self, machine: Machine, seconds: float, chance: random.Random) -> None:
        machine.set_clock(chance.uniform(-WRONG_BY, WRONG_BY))
        _last(seconds)
        machine.set_clock(0.0)

    def _restart_all(self) -> bool:
        """Begin to restart one after the other, each when the one before is ready."""
        with self._lock:
            if self._well != set(self.world.machines):
                return False
            self._well.clear()

        def restart() -> None:
            for machine in self.world.machines:
                machine.stop()
                machine.start()
                self.world.await_ready(machine)
            with self._lock:
                self._well.update(self.world.machines)

        self._suffering.append(self._pool.submit(restart))
        return True

    # -- etcd servers ---------------------------------------------------------------------------

    def _on_member(self, hurt: Callable[[str, float], None]) -> Callable[[], bool]:
        """Return what does that to one etcd server, if all are there."""

        def strike() -> bool:
            with self._lock:
                if not self._whole:
                    return False
                self._whole = False
            name = self._crash_chance.choice(self.world.cluster.names)
            seconds = self._crash_chance.uniform(0.2, 5.0)
            self._suffering.append(self._pool.submit(self._suffer_without, name, hurt, seconds))
            return True

        return strike

    def _suffer_without(
        self, name: str, hurt: Callable[[str, float], None], seconds: float
    ) -> None:
        hurt(name, seconds)
        with self._lock:
            self._whole = True

    def _kill_member(self, name: str, seconds: float) -> None:
        self.world.cluster.kill(name)
        _last(seconds)
        self.world.cluster.start(name)

    def _pause_member(self, name: str, seconds: float) -> None:
        self.world.cluster.pause(name)
        _last(seconds)
        self.world.cluster.resume(name)

    def _cut_off_member(self, name: str, seconds: float) -> None:
        self.world.cluster.cut_off(name)
        _last(seconds)
        self.world.cluster.heal()


def _last(seconds: float) -> None:
    threading.Event().wait(seconds)
