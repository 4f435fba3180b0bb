"""The fault laboratory: many lives at once, killed processes, and an audit of three worlds.

A seeded driver plays a platform for many instances and bindings of both services at once, while
another kills or pauses the broker's worker, its etcd, all of it, or the cloud. When the lives have
come to rest, what the platform was told, what etcd holds and what the cloud holds have to agree.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
from world import OSS, RDS, World

from alibroker.actors.records import Binding, Instance, Record
from alibroker.actors.settings import EngineSettings
from alibroker.etcd import keys
from alibroker.etcd.client import Etcd
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.records import decode

STAGES = ["provision", "bind", "unbind", "deprovision"]


@dataclass
class Life:
    """One instance with its binding, as the platform knows them."""

    number: int
    service: str
    last_stage: int
    """How many of the stages it goes through before it rests."""
    credentials: dict[str, Any] | None = None
    operations: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def instance(self) -> str:
        return f"life-{self.number}"

    @property
    def offer(self) -> dict[str, str]:
        return RDS if self.service == "rds" else OSS


class Laboratory:
    """Drives lives and faults in one world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)  # noqa: S311 - not a secret
        self.lives: list[Life] = []
        self.crashes: dict[str, int] = {}
        self._begin = threading.Lock()
        self._over = threading.Event()

    def run(self, *, crashes: int, at_once: int) -> None:
        """Let lives begin, so many at once, until there were so many crashes; then let all rest."""
        with ThreadPoolExecutor(at_once + 1) as pool:
            walks = [pool.submit(self._live) for _ in range(at_once)]
            try:
                self._kill(crashes)
            finally:
                self._over.set()
            for walk in as_completed(walks):
                walk.result()

    def _live(self) -> None:
        while not self._over.is_set():
            with self._begin:
                service = self.chance.choice(["rds", "oss"])
                life = Life(len(self.lives), service, self.chance.choice([1, 2, 3, 4, 4, 4, 4]))
                self.lives.append(life)
            self._walk(life)

    @property
    def operations(self) -> int:
        """How many operations were accepted."""
        return sum(life.operations for life in self.lives)

    def _walk(self, life: Life) -> None:
        for kind in STAGES[: life.last_stage]:
            status = self.world.start(kind, life.offer, life.instance)
            life.operations += 1
            if status == 202:
                state = self.world.end(kind, life.instance, timeout=300)
                if state != "succeeded":
                    life.wrong.append(f"{kind}: {state}")
            # The answer to an earlier try was lost, and the try had gone through.
            elif status not in ((200, 410) if kind.startswith(("un", "de")) else (200,)):
                life.wrong.append(f"{kind}: {status}")
            if kind == "bind":
                life.credentials = self.world.credentials(life.instance)

    def _kill(self, crashes: int) -> None:
        victims: list[tuple[str, Callable[[], Any]]] = [
            ("worker", self.world.kill_worker),
            ("broker and etcd", self.world.kill_all_of_broker),
            ("cloud", self.world.kill_sandbox),
            ("worker paused", lambda: self._pause(self.world.worker())),
            ("etcd", lambda: self.world.etcd().kill()),
            ("etcd paused", lambda: self._pause(self.world.etcd())),
        ]
        for _ in range(crashes):
            threading.Event().wait(self.chance.uniform(0.0, 0.8))
            name, kill = self.chance.choices(victims, weights=[65, 5, 10, 5, 8, 7])[0]
            kill()
            self.crashes[name] = self.crashes.get(name, 0) + 1
            # A crash counts only if it meets a broker that is up.
            self.world.broker.wait_until_ready()

    def _pause(self, process: psutil.Process) -> None:
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(self.chance.uniform(0.1, 1.0))
        process.send_signal(signal.SIGCONT)

    # -- the audit -----------------------------------------------------------------------------

    def audit(self) -> list[str]:
        """Compare the three worlds; returns what does not agree."""
        findings = [f"{life.instance}: {text}" for life in self.lives for text in life.wrong]
        records = stored_records(Path(self.world.settings["ALIBROKER_DATA_DIR"]))
        findings += [
            f"{record.key}: its operation has no end"
            for record in records.values()
            if record.operation.in_progress
        ]
        findings += self._compare_told_with_stored(records)
        findings += self._compare_stored_with_cloud(records)
        return findings

    def _compare_told_with_stored(self, records: dict[tuple[str, str], Record]) -> list[str]:
        findings = []
        for life in self.lives:
            instance = records.get((life.instance, ""))
            binding = records.get((life.instance, "b"))
            expected = "deleted" if life.last_stage == 4 else "ready"
            if instance is None or instance.status != expected:
                found = instance.status if instance else "nothing"
                findings.append(f"{life.instance}: etcd says {found}, the platform {expected}")
            if life.last_stage >= 2:
                expected = "ready" if life.last_stage == 2 else "deleted"
                if binding is None or binding.status != expected:
                    found = binding.status if binding else "nothing"
                    findings.append(f"binding of {life.instance}: {found}, not {expected}")
            if life.last_stage == 2 and self.world.credentials(life.instance) != life.credentials:
                findings.append(f"{life.instance}: the credentials are not those told")
        return findings

    def _compare_stored_with_cloud(self, records: dict[tuple[str, str], Record]) -> list[str]:
        ready = {key for key, record in records.items() if record.status == "ready"}
        lives = {life.instance: life for life in self.lives}
        instances = [key for key in ready if not key[1]]
        expected = {
            "instances": sum(lives[key[0]].service == "rds" for key in instances),
            "buckets": sum(lives[key[0]].service == "oss" for key in instances),
            "users": sum(lives[key[0]].service == "oss" for key in ready if key[1]),
        }
        inventory = self.world.inventory()
        found = {name: len(inventory[name]) for name in expected}
        findings = []
        if found != expected:
            findings.append(f"the cloud holds {found}, etcd means {expected}")
        accounts = sum(len(one["accounts"]) for one in inventory["instances"])
        wanted = sum(lives[key[0]].service == "rds" for key in ready if key[1])
        if accounts != wanted:
            findings.append(f"{accounts} database accounts, etcd means {wanted}")
        many = [one["name"] for one in inventory["users"] if len(one["keys"]) != 1]
        if many:
            findings.append(f"users without exactly one key: {many}")
        return findings


def stored_records(data_dir: Path) -> dict[tuple[str, str], Record]:
    """Read all records out of the broker's own etcd."""
    found: dict[tuple[str, str], Record] = {}
    sealer = EngineSettings(data_dir=data_dir).sealer()
    with Etcd([EmbeddedEtcd(data_dir / "etcd").endpoint]) as etcd:
        for pair in etcd.scan(keys.INSTANCES, keys.BINDINGS):
            kind = Binding if pair.key.startswith(keys.BINDINGS) else Instance
            record = decode(kind, pair.value, sealer, pair.key)
            found[tuple(record.key)] = record  # type: ignore[index]  # a key is a pair
    return found


def cloud_is_quiet(world: World) -> bool:
    """Whether nothing in the cloud is being made or deleted."""
    try:
        return all(one["status"] == "Running" for one in world.inventory()["instances"])
    except requests.RequestException:
        return False
