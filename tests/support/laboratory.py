"""The fault laboratory: many lives at once, in a world that is hurt all the time.

A seeded driver plays a platform for many instances and bindings of both services at once, while
`fate` kills processes and breaks what connects them. Some requests are sent twice at the same time,
and onlookers ask about lives that are under way. When the lives have come to rest, `audit` compares
what the platform was told, what etcd holds and what the cloud holds, and holds all answers against
what one broker that does one thing at a time may say.
"""

from __future__ import annotations

import collections
import contextlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import requests
from fate import Fate
from history import History
from waiting import eventually
from world import OSS, RDS

LARGE = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1d"
"""The plan that databases are moved to."""
TEAM = "blue"
"""The tag that buckets get later."""
TWICE = 0.2
"""The part of all changes that is asked for twice at the same time."""
ONLOOKERS = 2
LOOK_EVERY = 0.03
"""Seconds between an onlooker's questions."""

# What may happen to an instance before it rests, and how often that is chosen.
STORIES: list[tuple[tuple[str, ...], int]] = [
    (("provision",), 1),
    (("provision", "bind"), 2),
    (("provision", "update"), 1),
    (("provision", "bind", "unbind"), 1),
    (("provision", "bind", "unbind", "deprovision"), 8),
    (("provision", "update", "bind", "unbind", "deprovision"), 3),
    (("provision at once", "deprovision"), 2),
    (("provision", "bind at once", "unbind", "deprovision"), 1),
]


@dataclass
class Life:
    """One instance with its binding, as the platform knows them."""

    number: int
    service: str
    story: tuple[str, ...]
    """Its stages; nobody waits for the end of one that happens at once before the next."""
    plan_id: str
    credentials: dict[str, Any] | None = None
    ends: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    """How many operations were accepted, by kind and end."""
    wrong: list[str] = field(default_factory=list)
    rests: bool = False
    """Whether the platform asks for nothing more."""

    @property
    def instance(self) -> str:
        return f"life-{self.number}"

    @property
    def questions(self) -> list[str]:
        """Paths of all that can be asked about it."""
        instance = f"/v2/service_instances/{self.instance}"
        paths = [instance]
        if any(stage.startswith("bind") for stage in self.story):
            paths.append(f"{instance}/service_bindings/b")
        return [*paths, *(f"{path}/last_operation" for path in paths)]

    @property
    def offer(self) -> dict[str, Any]:
        service = RDS if self.service == "rds" else OSS
        return {"service_id": service["service_id"], "plan_id": self.plan_id}

    @property
    def gone(self) -> bool:
        """Whether the platform has deleted it."""
        return self.story[-1] == "deprovision"

    @property
    def bound(self) -> bool:
        """Whether the platform holds its binding."""
        return self.story[-1] == "bind"

    def change(self) -> dict[str, Any]:
        """Move it to another plan or change its parameters; returns the body of the update."""
        if self.service == "rds":
            self.plan_id = LARGE
            return self.offer
        return {"service_id": OSS["service_id"], "parameters": {"Tags": {"team": TEAM}}}


class Laboratory:
    """Drives lives in one world.

    Args:
        fate: what hurts the world; from its seed all choices follow.
        say: told a line now and then while it runs.
    """

    def __init__(self, fate: Fate, say: Callable[[str], None] = print) -> None:
        self.world = fate.world
        self.fate = fate
        self.seed = fate.seed
        self.history = self.world.history = History()
        self.lives: list[Life] = []
        self._chance = random.Random(self.seed + 2)  # noqa: S311 - not a secret
        self._say = say
        self._begin = threading.Lock()
        self._over = threading.Event()
        self._doubles = ThreadPoolExecutor(thread_name_prefix="double")
        self._started = time.monotonic()
        self._at_once = 1

    @property
    def operations(self) -> int:
        """How many operations were accepted."""
        return sum(life.ends.total() for life in list(self.lives))

    def run(self, *, crashes: int, operations: int, at_once: int, report_every: int = 20) -> None:
        """Let lives begin, so many at once, until there was enough of both; then let all rest."""
        self._at_once = at_once
        with ThreadPoolExecutor(at_once + 1 + ONLOOKERS) as pool, self._doubles:
            walks = [pool.submit(self._live) for _ in range(at_once)]
            walks += [pool.submit(self._look_on, number) for number in range(ONLOOKERS)]
            storm = pool.submit(self.fate.weather, self._over)
            try:
                while self.fate.crashes.total() < crashes or self.operations < operations:
                    self.fate.strike(self._over)
                    if self.fate.crashes.total() % report_every == 0:
                        self._say(self.progress())
                    for failed in [walk for walk in [*walks, storm] if walk.done()]:
                        failed.result()
            finally:
                self._over.set()
            storm.result()
            for walk in as_completed(walks):
                walk.result()
        eventually(self._cloud_is_quiet, timeout=60)
        for life in self.lives:
            for path in life.questions:
                self.world.request("GET", path)
        self._say(self.progress())

    def progress(self) -> str:
        """Return a line on what has happened so far."""
        crashes = ", ".join(f"{what} {count}" for what, count in self.fate.crashes.most_common())
        return (
            f"seed {self.seed}, {time.monotonic() - self._started:.0f} s: "
            f"{self.operations} operations accepted, {self.fate.faults.total()} faults, "
            f"{self.fate.crashes.total()} crashes ({crashes})"
        )

    def _live(self) -> None:
        stories, weights = zip(*STORIES, strict=True)
        while not self._over.is_set():
            with self._begin:
                service = self._chance.choice(["rds", "oss"])
                story = self._chance.choices(stories, weights)[0]
                plan = (RDS if service == "rds" else OSS)["plan_id"]
                life = Life(len(self.lives), service, story, plan)
                self.lives.append(life)
            self.walk(life)
            life.rests = True

    def walk(self, life: Life) -> None:
        """Go through all stages of a life; what is not as it should be is noted in it."""
        for stage in life.story:
            kind, _, at_once = stage.partition(" ")
            offer = life.change() if kind == "update" else life.offer
            status = self._start(kind, offer, life.instance)
            # The answer to an earlier try was lost, and the try had gone through.
            late = (200, 410) if kind in ("unbind", "deprovision") else (200,)
            if status == 202 and not at_once:
                end = self.world.end(kind, life.instance, timeout=300)
            else:
                end = "stopped" if at_once else "succeeded"
            if status not in (202, *late):
                life.wrong.append(f"{kind} was answered {status}")
                return
            life.ends[kind, end] += 1
            if end not in ("succeeded", "stopped"):
                life.wrong.append(f"{kind} {end}: {self._why(kind, life.instance)}")
                return
            if stage == "bind":
                life.credentials = self.world.credentials(life.instance)

    def _start(self, kind: str, offer: dict[str, Any], instance: str) -> int:
        """Ask for an operation, perhaps twice at once; returns the first status."""
        with self._begin:
            twice = self._chance.random() < TWICE
        # Over connections, threads and processes of their own: either may be first.
        other = self._doubles.submit(self.world.start, kind, offer, instance) if twice else None
        status = self.world.start(kind, offer, instance)
        if other is not None:
            other.result()
        return status

    def _look_on(self, number: int) -> None:
        """Ask about lives that are under way, and do not ask again if there is no answer."""
        chance = random.Random(self.seed + 3 + number)  # noqa: S311 - not a secret
        while not self._over.wait(chance.uniform(0, 2 * LOOK_EVERY)):
            some = [life for life in self.lives[-2 * self._at_once :] if not life.rests]
            if some:
                path = chance.choice(chance.choice(some).questions)
                with contextlib.suppress(requests.ConnectionError):
                    self.world.request_once("GET", path)

    def _why(self, kind: str, instance: str) -> str:
        path = f"/v2/service_instances/{instance}"
        if kind in ("bind", "unbind"):
            path += "/service_bindings/b"
        answer = self.world.request("GET", f"{path}/last_operation")
        return str(answer.json().get("description"))

    def _cloud_is_quiet(self) -> bool:
        """Tell whether nothing in the cloud is being made or deleted."""
        try:
            instances = self.world.inventory()["instances"]
        except requests.RequestException:
            return False
        return all(one["status"] == "Running" for one in instances)
