"""I5: nothing secret is in a log, an error, a process list or, in the open, in the store."""

from __future__ import annotations

import itertools
from pathlib import Path

import psutil
from world import KEY, OPERATOR, OSS, RDS, USER, World, new_id


def test_no_secret_is_anywhere_in_the_open(world: World) -> None:
    instances = {new_id(): RDS, new_id(): OSS}
    secrets = {KEY[1], USER[1], OPERATOR[1]}
    parameters = {"AccessKeyId": "LTAIusers", "AccessKeySecret": "users-own-secret"}
    secrets.add("users-own-secret")
    third = new_id()
    body = {**OSS, "organization_guid": "o", "space_guid": "s", "parameters": parameters}
    answer = world.request("PUT", f"/v2/service_instances/{third}", body, accepts_incomplete="true")
    assert answer.status_code == 202
    assert world.end("provision", third) == "succeeded"
    shown = world.request("GET", f"/v2/service_instances/{third}").text
    assert "users-own-secret" not in shown
    for instance, offer in instances.items():
        world.do("provision", offer, instance)
        world.do("bind", offer, instance)
        credentials = world.credentials(instance)
        secrets |= {
            value
            for name, value in credentials.items()
            if name in ("password", "secret_access_key", "uri", "jdbcUrl")
        }
    assert len(secrets) >= 6

    lines = " ".join(
        itertools.chain.from_iterable(
            one.cmdline()
            for one in psutil.Process(world.broker.process.pid).children(recursive=True)
        )
    )
    for secret in secrets:
        assert secret not in lines
    data = Path(world.settings["ALIBROKER_DATA_DIR"])
    seen = False
    for file in [*data.rglob("*"), world.directory / "broker.log"]:
        if file.is_file():
            content = file.read_bytes()
            seen = seen or third.encode() in content
            found = [secret for secret in secrets if secret.encode() in content]
            assert found == [], file
    assert seen, "the records are not where this test looks"

    for instance, offer in instances.items():
        world.do("unbind", offer, instance)
        world.do("deprovision", offer, instance)
    world.do("deprovision", OSS, third)
    assert world.left() == {}
