"""What goes wrong: processes are killed or paused, and the ways between them break.

`Fate.strike` is one crash. `Fate.weather` is what a network and a cloud are like on a bad day; it
goes on beside the crashes until it is told to end. Both are seeded.
"""

from __future__ import annotations

import collections
import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import requests
from relay import Relay
from relayed_world import RelayedWorld
from world import World

Chance = tuple[str, int, Callable[[], Any]]
"""What may happen: its name, how likely it is, and what does it."""

HANG = 45
"""Seconds; the broker waits 10 for an answer to a read and 20 for one to a write."""


class Fate:
    """Hurts one world, and counts how."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.crashes: collections.Counter[str] = collections.Counter()
        self.faults: collections.Counter[str] = collections.Counter()
        self._crash_chance = random.Random(seed)  # noqa: S311 - not a secret
        self._weather_chance = random.Random(seed + 1)  # noqa: S311 - not a secret
        self._start_seconds = 0.0
        self._victims = self._all_crashes()
        self._storms = self._all_weather()

    def _all_crashes(self) -> list[Chance]:
        world = self.world
        return [
            ("worker killed", 65, world.kill_worker),
            ("broker and etcd killed", 5, world.kill_all_of_broker),
            ("cloud killed", 10, world.kill_sandbox),
            ("worker paused", 5, lambda: self._pause(world.worker())),
            ("etcd killed", 8, lambda: world.etcd().kill()),
            ("etcd paused", 7, lambda: self._pause(world.etcd())),
        ]

    def _all_weather(self) -> list[Chance]:
        return [*self._weather_of_cloud(), *self._weather_of_etcd()]

    def _weather_of_cloud(self) -> list[Chance]:
        return [
            ("answers of the cloud lost", 20, self._lose_cloud_answers),
            ("the cloud asks for fewer calls", 10, self._throttle),
            ("the cloud hangs", 3, self._hang),
            ("the cloud is slow", 5, self._slow_cloud),
        ]

    def _weather_of_etcd(self) -> list[Chance]:
        if not self._relays():
            return []
        return [
            ("answers of etcd lost", 30, lambda: self._lose_etcd_answers(self._relay())),
            ("connections to etcd reset", 10, lambda: self._reset(self._relay())),
            ("etcd is slow", 8, lambda: self._slow_etcd(self._relay())),
            ("etcd refuses connections", 6, lambda: self._refuse(self._relay())),
            ("etcd is silent", 6, lambda: self._stall(self._relay())),
            ("connections to etcd dead", 3, lambda: self._relay().drop_silently()),
        ]

    def _relays(self) -> list[Relay]:
        """Return all ways from brokers to etcd that can be hurt."""
        return [self.world.relay] if isinstance(self.world, RelayedWorld) else []

    def _relay(self) -> Relay:
        return self._weather_chance.choice(self._relays())

    # -- crashes --------------------------------------------------------------------------------

    def strike(self, over: threading.Event) -> None:
        """Wait for a random instant, kill or pause something, and wait until all is up again.

        A machine on which a start takes longer gets longer to do something in between.
        """
        over.wait(self._crash_chance.uniform(0.0, max(0.5, self._start_seconds)))
        weights = [weight for _, weight, _ in self._victims]
        name, _, kill = self._crash_chance.choices(self._victims, weights=weights)[0]
        with contextlib.suppress(psutil.NoSuchProcess):
            kill()
        self.crashes[name] += 1
        # A crash counts only if it meets a broker that is up.
        struck_at = time.monotonic()
        self.world.broker.wait_until_ready()
        self._start_seconds = time.monotonic() - struck_at

    def _pause(self, process: psutil.Process) -> None:
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(self._crash_chance.uniform(0.1, 1.0))
        process.send_signal(signal.SIGCONT)

    # -- weather --------------------------------------------------------------------------------

    def weather(self, over: threading.Event) -> None:
        """Let one fault follow the other until the end; then heal everything."""
        chance = self._weather_chance
        weights = [weight for _, weight, _ in self._storms]
        try:
            while not over.wait(chance.uniform(0.2, 1.8)):
                name, _, break_out = chance.choices(self._storms, weights=weights)[0]
                # A sandbox that is being killed has no weather.
                with contextlib.suppress(requests.RequestException):
                    break_out()
                    self.faults[name] += 1
        finally:
            self.calm()

    def calm(self) -> None:
        """Take back every fault."""
        for relay in self._relays():
            relay.heal()
        self.world.sandbox.control("DELETE", "faults")

    def _last(self, least: float, most: float) -> None:
        threading.Event().wait(self._weather_chance.uniform(least, most))

    def _cloud(self, **fault: Any) -> None:
        # One storm ends the other: where little is called, they would pile up until nothing works.
        self.world.sandbox.control("DELETE", "faults")
        self.world.sandbox.control("POST", "faults", {"action": "*", **fault})

    def _lose_cloud_answers(self) -> None:
        kind = self._weather_chance.choice(["reset", "empty", "garbage", "error"])
        self._cloud(kind=kind, when="after", times=self._weather_chance.randint(1, 4))

    def _throttle(self) -> None:
        self._cloud(kind="throttle", times=self._weather_chance.randint(5, 30), seconds=0.2)

    def _hang(self) -> None:
        when = self._weather_chance.choice(["before", "after"])
        self._cloud(kind="hang", when=when, times=2, seconds=HANG)

    def _slow_cloud(self) -> None:
        self._cloud(kind="latency", times=20, seconds=self._weather_chance.uniform(0.1, 1.5))

    def _lose_etcd_answers(self, relay: Relay) -> None:
        needle = self._weather_chance.choice([b"", b"/instances/", b"/bindings/"])
        relay.lose_answers(self._weather_chance.randint(1, 6), needle)

    def _reset(self, relay: Relay) -> None:
        for _ in range(self._weather_chance.randint(1, 10)):
            relay.reset()
            self._last(0.0, 0.1)

    def _slow_etcd(self, relay: Relay) -> None:
        relay.delay = self._weather_chance.uniform(0.02, 0.4)
        self._last(0.3, 1.5)
        relay.delay = 0.0

    def _refuse(self, relay: Relay) -> None:
        relay.refuse()
        self._last(0.1, 2.5)
        relay.accept()

    def _stall(self, relay: Relay) -> None:
        relay.stall()
        self._last(0.1, 2.5)
        relay.flow()
