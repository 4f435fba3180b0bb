"""The broker gets credentials of another account, and then the right ones again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from waiting import eventually
from world import OSS, RDS, World, new_id


def use(world: World, key_id: str, secret: str) -> None:
    """Start the broker anew with another key."""
    world._stop_broker()
    world.settings |= {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": secret,
    }
    world._start_broker()


@pytest.fixture
def mine(world: World) -> Iterator[tuple[str, str]]:
    """Return the broker's own key, which it has again after the test."""
    names = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
    key_id, secret = (world.settings[name] for name in names)
    yield key_id, secret
    if world.settings[names[0]] != key_id:
        use(world, key_id, secret)


def test_nothing_ends_with_a_key_of_another_account(world: World, mine: tuple[str, str]) -> None:
    other = world.sandbox.control("POST", "second-account")
    account = world.sandbox.control("GET", "inventory")["account"]["id"]
    offers = {new_id(): RDS, new_id(): OSS}
    untouched = new_id()
    world.do("provision", OSS, untouched)
    for instance, offer in offers.items():
        world.do("provision", offer, instance)
        world.do("bind", offer, instance)
    before = world.inventory()

    use(world, other["access_key_id"], other["access_key_secret"])
    for instance, offer in offers.items():
        path = f"/v2/service_instances/{instance}"
        assert world.start("unbind", offer, instance) == 202
        binding = f"{path}/service_bindings/b"

        def says_why(path: str = binding) -> bool:
            answer = world.request("GET", f"{path}/last_operation").json()
            text = answer.get("description", "")
            assert answer["state"] == "in progress"
            return account in text and other["id"] in text and "ALIBABA_CLOUD_ACCESS_KEY" in text

        eventually(says_why)
    found = world.survey()
    assert {one["disagreement"] for one in found} == {"other account"}
    assert {one["instance_id"] for one in found} == {untouched, *offers}
    assert world.inventory() == before
    counted = world.sandbox.control("GET", "second-account")
    assert counted["rds"]["instances"] == counted["ram"]["users"] == []

    use(world, *mine)
    for instance, offer in offers.items():
        assert world.end("unbind", instance) == "succeeded"
        world.do("deprovision", offer, instance)
    assert world.survey() == []
    world.do("deprovision", OSS, untouched)
    assert world.left() == {}
