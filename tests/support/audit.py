"""The audit: what the platform was told, what etcd holds and what the cloud holds are compared.

All that the platform was told is held against itself, too: see `linearizability`.

Each thing is looked for by its name, in both directions: nothing may be missing, and nothing may be
there that no record means. Credentials are those that the platform was told, and buckets are opened
with them; so are databases if their servers are real.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import oss2
import pymysql
from laboratory import LARGE, TEAM, Laboratory, Life
from linearizability import check
from world import World

from alibroker.etcd import keys
from alibroker.etcd.client import Etcd
from alibroker.etcd.records import UnreadableRecordError, decode
from alibroker.lifecycle.records import Binding, Instance, Record

DEFECT = re.compile(r"^.*(?:Traceback| CRITICAL |[Dd]efect|a new one starts).*$", re.MULTILINE)

Records = Mapping[tuple[str, str], Record]
Cloud = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Audit:
    """What was accepted, what exists, and where the two disagree."""

    findings: list[str]
    figures: list[tuple[str, str]]

    def text(self) -> str:
        """Return it for people."""
        verdict = ["The three worlds agree."]
        if self.findings:
            verdict = [f"THEY DO NOT AGREE, {len(self.findings)} findings:", *self.findings]
        width = max(len(name) for name, _ in self.figures)
        lines = [f"{name:{width}}  {text}" for name, text in self.figures]
        return "\n".join(["", *lines, *verdict, ""])


def audit(laboratory: Laboratory) -> Audit:
    """Compare the three worlds, which have come to rest."""
    world, lives = laboratory.world, {life.instance: life for life in laboratory.lives}
    records, findings = stored_records(world)
    cloud = world.inventory()
    findings += [f"{life.instance}: {text}" for life in lives.values() for text in life.wrong]
    findings += [
        f"{_name(key)}: its {record.operation.kind} has no end"
        for key, record in records.items()
        if record.operation.in_progress
    ]
    findings += _told_and_stored(lives, records)
    findings += _stored_and_cloud(lives, records, cloud)
    findings += _credentials(world, lives, records, cloud)
    findings += map(str, check(laboratory.history))
    for path in world.logs:
        log = path.read_text(errors="replace")
        findings += [f"the log tells of a defect: {line}" for line in DEFECT.findall(log)]
    return Audit(findings, _figures(laboratory, records, cloud))


def stored_records(world: World) -> tuple[dict[tuple[str, str], Record], list[str]]:
    """Read all records out of etcd; also returns which cannot be read."""
    found: dict[tuple[str, str], Record] = {}
    unreadable = []
    sealer = world.sealer()
    with Etcd([world.store]) as etcd:
        for pair in etcd.scan(keys.INSTANCES, keys.BINDINGS):
            kind = Binding if pair.key.startswith(keys.BINDINGS) else Instance
            try:
                record = decode(kind, pair.value, sealer, pair.key)
            except UnreadableRecordError as error:
                unreadable.append(f"a record cannot be read: {error}")
            else:
                found[record.key.instance_id, record.key.binding_id] = record
    return found, unreadable


def _told_and_stored(lives: Mapping[str, Life], records: Records) -> Iterator[str]:
    for name, life in lives.items():
        if life.wrong:
            continue
        expected = {(name, ""): "deleted" if life.gone else "ready"}
        if any(stage.startswith("bind") for stage in life.story):
            expected[name, "b"] = "ready" if life.bound else "deleted"
        for key, status in expected.items():
            record = records.get(key)
            found = str(record.status) if record else "nothing"
            # What was stopped before it was made, and what was deleted, may leave no record.
            if found != status and not (status == "deleted" and record is None):
                yield f"{_name(key)}: the platform was told {status}, etcd holds {found}"
    for key in records:
        if key[0] not in lives or key[1] not in ("", "b"):
            yield f"{_name(key)}: etcd holds a record that nobody asked for"


def _stored_and_cloud(lives: Mapping[str, Life], records: Records, cloud: Cloud) -> Iterator[str]:
    ready = {key: record for key, record in records.items() if record.status == "ready"}
    wanted: dict[str, set[str]] = collections.defaultdict(set)
    for key, record in ready.items():
        service = lives[key[0]].service if key[0] in lives else ""
        facts = record.resource
        if not key[1]:
            kind, fact = (
                ("RDS instance", "instance_id") if service == "rds" else ("bucket", "bucket")
            )
            wanted[kind].add(str(facts.get(fact)))
        elif service == "rds":
            instance = records.get((key[0], ""))
            place = instance.resource.get("instance_id") if instance else None
            wanted["database account"].add(f"{facts.get('username')} of {place}")
        else:
            wanted["user"].add(str(facts.get("user")))
            wanted["policy"].add(str(facts.get("policy")))
    found = {kind: set(some) for kind, some in _names(cloud).items()}
    for kind in sorted(wanted.keys() | found.keys()):
        for name in sorted(wanted[kind] - found.get(kind, set())):
            yield f"{kind} {name}: a record means it, the cloud does not hold it"
        for name in sorted(found.get(kind, set()) - wanted[kind]):
            yield f"{kind} {name}: the cloud holds it, no record means it"
    yield from _details(lives, ready, cloud)


def _details(lives: Mapping[str, Life], ready: Records, cloud: Cloud) -> Iterator[str]:
    instances = {one["id"]: one for one in cloud["instances"]}
    buckets = {one["name"]: one for one in cloud["buckets"]}
    classes = collections.defaultdict(set)
    for (name, binding), record in ready.items():
        life = lives.get(name)
        if life is None or binding:
            continue
        if life.service == "rds":
            found = instances.get(str(record.resource.get("instance_id")))
            if found is not None:
                classes[found["class"]].add(life.plan_id == LARGE)
                if record.plan_id != life.plan_id:
                    yield f"{name}: etcd holds plan {record.plan_id}, asked for was {life.plan_id}"
        else:
            found = buckets.get(str(record.resource.get("bucket")))
            updated = "update" in life.story
            if found is not None and updated != (found["tags"].get("team") == TEAM):
                yield f"{name}: the bucket has the tags {found['tags']}, updated: {updated}"
        if found is not None and found["tags"].get("alibroker-instance") != name:
            yield f"{name}: what the cloud holds has the tags {found['tags']}"
    for name, plans in classes.items():
        if len(plans) > 1:
            yield f"RDS instances of different plans have the same class {name}"


def _credentials(
    world: World, lives: Mapping[str, Life], records: Records, cloud: Cloud
) -> Iterator[str]:
    users = {one["name"]: one for one in cloud["users"]}
    servers = {one["id"]: one["server"] for one in cloud["instances"]}
    for name, life in lives.items():
        record = records.get((name, "b"))
        if not life.bound or record is None or record.status != "ready":
            continue
        told, stored = life.credentials or {}, record.private.credentials
        if stored != told:
            yield f"{name}: etcd holds other credentials than those told"
        if world.credentials(name) != told:
            yield f"{name}: the platform is told other credentials than before"
        if life.service == "oss":
            user = users.get(str(record.resource.get("user")), {"keys": [], "policies": []})
            held = [key["id"] for key in user["keys"] if key["active"]]
            if held != [told.get("access_key_id")]:
                yield f"{name}: the user has the keys {held}, told was {told.get('access_key_id')}"
            if f"Custom/{record.resource.get('policy')}" not in user["policies"]:
                yield f"{name}: the user does not have its policy"
            if not _opens_bucket(told):
                yield f"{name}: the bucket does not open with the credentials"
        elif servers.get(_place(record, records)) == "up" and not _opens_database(told):
            yield f"{name}: the database does not open with the credentials"


def _place(record: Record, records: Records) -> str:
    """Return the RDS instance that a binding is in."""
    instance = records.get((record.instance_id, ""))
    return str(instance.resource.get("instance_id")) if instance else "no instance"


def _opens_bucket(credentials: Mapping[str, Any]) -> bool:
    session = oss2.Session()
    session.session.trust_env = False
    bucket = oss2.Bucket(
        oss2.AuthV4(credentials["access_key_id"], credentials["secret_access_key"]),
        credentials["endpoint"],
        credentials["bucket"],
        region=credentials["region"],
        session=session,
    )
    try:
        bucket.list_objects_v2()
    except oss2.exceptions.ServerError:
        return False
    finally:
        session.session.close()
    return True


def _opens_database(credentials: Mapping[str, Any]) -> bool:
    try:
        connection = pymysql.connect(
            host=credentials["host"],
            port=int(credentials["port"]),
            user=credentials["username"],
            password=credentials["password"],
            database=credentials["database"],
        )
    except pymysql.err.OperationalError:
        return False
    with closing(connection):
        return True


def _names(cloud: Cloud) -> dict[str, list[str]]:
    return {
        "RDS instance": [one["id"] for one in cloud["instances"]],
        "database account": [
            f"{account['name']} of {one['id']}"
            for one in cloud["instances"]
            for account in one["accounts"]
        ],
        "bucket": [one["name"] for one in cloud["buckets"]],
        "user": [one["name"] for one in cloud["users"]],
        "policy": [one["name"] for one in cloud["policies"]],
    }


def _figures(laboratory: Laboratory, records: Records, cloud: Cloud) -> list[tuple[str, str]]:
    ends: collections.Counter[tuple[str, str]] = collections.Counter()
    for life in laboratory.lives:
        ends.update(life.ends)
    figures = [("seed", str(laboratory.seed))]
    figures.append(("accepted", f"{ends.total()} operations on {len(laboratory.lives)} instances"))
    for kind in dict.fromkeys(kind for kind, _ in ends):
        parts = [f"{count} {end}" for (one, end), count in ends.items() if one == kind]
        figures.append((f"  {kind}", ", ".join(parts)))
    for what, counted in (
        ("answers (0: none)", laboratory.history.statuses),
        ("crashes", laboratory.fate.crashes),
        ("faults", laboratory.fate.faults),
    ):
        figures.append((what, str(counted.total())))
        figures += [(f"  {name}", str(count)) for name, count in counted.most_common()]
    for what, part in (("instances", False), ("bindings", True)):
        counted = collections.Counter(
            str(record.status) for key, record in records.items() if bool(key[1]) is part
        )
        held = ", ".join(f"{count} {status}" for status, count in counted.most_common())
        figures.append((f"etcd: {what}", held or "none"))
    figures += [(f"cloud: {kind}", str(len(names))) for kind, names in _names(cloud).items()]
    return figures


def _name(key: tuple[str, str]) -> str:
    return f"binding {key[1]} of {key[0]}" if key[1] else key[0]
