"""A store is lost altogether, and rebuilt from what the cloud's tags say, as an operator would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually
from world import OPERATOR, OSS, RDS, World

CREDENTIALS = dict(
    zip(("ALIBROKER_OPERATOR_USERNAME", "ALIBROKER_OPERATOR_PASSWORD"), OPERATOR, strict=True)
)
SECRETS = {
    "password",
    "uri",
    "jdbcUrl",
    "AccessKeyId",
    "AccessKeySecret",
    "access_key_id",
    "secret_access_key",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.stop()


def orphans(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alibroker.cli.main", "orphans", *arguments]
    return subprocess.run(
        [*command, "--url", world.broker.url],
        env={**CREDENTIALS, "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def listed(world: World) -> list[tuple[str, str, str]]:
    done = orphans(world, "list", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if found["findings"] or found["failures"] else 0)
    assert found["failures"] == {}
    return sorted(
        (one["disagreement"], one["instance_id"], one["binding_id"]) for one in found["findings"]
    )


def lose_the_store(world: World) -> None:
    world.broker.process.stop()
    data = Path(world.settings["ALIBROKER_DATA_DIR"])
    shutil.rmtree(data / "etcd")
    (data / "store.json").unlink()
    world._start_broker()


def test_a_lost_store_is_rebuilt_from_the_cloud(world: World) -> None:
    """Cites I2 from the other side: everything that was created can be found again."""
    for offer, instance in ((RDS, "a-database"), (OSS, "a-bucket")):
        world.do("provision", offer, instance)
        world.do("bind", offer, instance, "b1")
        world.do("bind", offer, instance, "b2")
    before = {name: world.credentials(name, "b1") for name in ("a-database", "a-bucket")}
    assert listed(world) == []

    lose_the_store(world)
    assert listed(world) == [
        ("unknown", instance, binding)
        for instance in ("a-bucket", "a-database")
        for binding in ("", "b1", "b2")
    ]

    done = orphans(world, "adopt", "--all")
    for instance in ("a-database", "a-bucket"):
        for binding in ("b1", "b2"):
            assert world.end("bind", instance, binding) == "succeeded", done.stdout + done.stderr
    assert listed(world) == []
    for instance, old in before.items():
        new = world.credentials(instance, "b1")
        assert new.keys() == old.keys()
        changed = {name for name in new if new[name] != old[name]}
        assert changed
        assert changed < SECRETS, "the same place and the same user"

    for offer, instance in ((RDS, "a-database"), (OSS, "a-bucket")):
        for binding in ("b1", "b2"):
            world.do("unbind", offer, instance, binding)
        world.do("deprovision", offer, instance)
    eventually(lambda: world.left() == {}, timeout=60)
    assert listed(world) == []


def test_one_database_never_gets_two_records(world: World) -> None:
    """Or deprovisioning one instance would delete the database of another."""
    world.do("provision", RDS, "living")
    lose_the_store(world)
    (finding,) = json.loads(orphans(world, "list", "--json").stdout)["findings"]
    for action, instance in (("adopt", "other"), ("adopt", "living"), ("adopt", "other")):
        orphans(world, action, finding["id"], "--instance-id", instance)
    (again,) = [*listed(world), None]
    world.start("deprovision", RDS, "other")
    assert [again, world.left().get("instances")] == [None, [finding["facts"]["instance_id"]]]
    assert world.request("GET", "/v2/service_instances/other").status_code == 404
    world.do("deprovision", RDS, "living")


def test_orphans_of_a_lost_store_are_deleted_one_by_one(world: World) -> None:
    world.do("provision", OSS, "kept")
    world.do("provision", OSS, "unwanted")
    world.do("bind", OSS, "unwanted", "b")
    lose_the_store(world)
    found = json.loads(orphans(world, "list", "--json").stdout)["findings"]
    ids = {(one["instance_id"], one["binding_id"]): one["id"] for one in found}
    done = orphans(world, "keep", ids["kept", ""])
    assert done.returncode == 0, done.stderr
    # Asked, and answered with nothing: nothing happens.
    assert orphans(world, "delete", ids["unwanted", ""]).returncode == 1
    for key in (("unwanted", "b"), ("unwanted", "")):
        done = orphans(world, "delete", ids[key], "--yes")
        assert done.returncode == 0, done.stderr
    eventually(lambda: [*world.left()] == ["buckets"], timeout=60)
    assert len(world.left()["buckets"]) == 1
    assert listed(world) == []


def test_the_table_says_what_to_do(world: World) -> None:
    world.do("provision", OSS, "forgotten")
    lose_the_store(world)
    done = orphans(world, "list")
    assert done.returncode == 1
    for text in ("unknown", "OSS bucket", "forgotten", "orphans adopt|keep|delete"):
        assert text in done.stdout
    wrong = orphans(world, "adopt", "no-such-finding")
    assert wrong.returncode == 1
    assert "survey again" in wrong.stderr


def test_who_is_no_operator_is_told_so(world: World) -> None:
    command = [sys.executable, "-m", "alibroker.cli.main", "orphans", "list"]
    done = subprocess.run(
        [*command, "--url", world.broker.url, "--user", "platform"],
        env={"ALIBROKER_OPERATOR_PASSWORD": "platform-password", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "ALIBROKER_OPERATOR_USERNAME" in done.stderr
