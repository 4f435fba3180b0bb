"""Beside plugins with every kind of misbehaviour the two real services answer as if alone.

One broker is started with all of them. Each does what it does wrong, while databases and buckets
live their lives; what came of it is then looked at, kind by kind.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from bad_plugins import (
    ABORT,
    DEEDS,
    HANG,
    LOADING,
    MISBEHAVIOUR,
    RELEASE,
    STEPS,
    install,
    name_of,
    offer_of,
)
from waiting import eventually
from world import OPERATOR, OSS, RDS, World

pytestmark = pytest.mark.timeout(600)  # whichever test comes first has the whole house built

CALLED = (*STEPS, "observe")
ACCEPTED = (200, 202)
"""Where the process died with the answer, the request is sent again, and may be done by then."""


@dataclass
class House:
    """The broker with all of them in it, and what was seen of each kind."""

    world: World
    readyz: list[dict[str, Any]] = field(default_factory=list)
    """After the start, after what the process survives, and after the rest."""
    seen: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """The last operation, by deed and place."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """Why clouds could not be surveyed, by plugin: before what kills the process does so, after."""
    findings: list[Any] = field(default_factory=list)
    log: str = ""

    def look(self) -> None:
        self.readyz.append(self.world.request("GET", "/readyz").json())

    def lead_to(self, deed: str, place: str) -> None:
        """Begin a life in which everything goes well up to the place of the deed."""
        world, name, offer = self.world, _instance(deed, place), offer_of(deed)
        asked = {**offer, "parameters": {"place": place}}
        assert world.start("provision", asked, name) in ACCEPTED

    def do(self, deed: str, place: str) -> None:
        """Ask for what the deed comes in the way of."""
        name, offer = _instance(deed, place), offer_of(deed)
        if place in ("provision", "observe"):
            return
        assert self.world.end("provision", name) == "succeeded"
        if place == "unbind":
            self.world.do("bind", offer, name)
        more = {"parameters": {"n": 1}} if place == "update" else {}
        assert self.world.start(place, {**offer, **more}, name) in ACCEPTED

    def shows(self, deed: str, place: str) -> bool:
        """Tell whether what it does can be seen by now; keeps what the platform sees of it."""
        path = f"/v2/service_instances/{_instance(deed, place)}"
        if place in ("bind", "unbind"):
            path += "/service_bindings/b"
        found: dict[str, Any] = self.world.request("GET", f"{path}/last_operation").json()
        self.seen[deed, place] = found
        if deed == ABORT:
            return bool(found["state"] == "failed")
        return deed == HANG or place == "observe" or "Trying again" in found["description"]

    def survey(self) -> None:
        """Have surveys taken until one comes to an end, whatever hangs or dies in those before."""
        url, auth = f"{self.world.broker.url}/operator/survey", OPERATOR
        begun: list[float] = []

        def taken() -> dict[str, Any] | None:
            with contextlib.suppress(requests.ConnectionError):
                asked = requests.post(url, json={}, auth=auth, timeout=30)
                report = requests.get(url, auth=auth, timeout=30)
                if {asked.status_code, report.status_code} == {202, 200}:
                    begun.append(asked.json()["asked_at"])
                    found: dict[str, Any] = report.json()
                    return found if found["taken_at"] >= begun[0] else None
                assert 503 in (asked.status_code, report.status_code), asked.text + report.text
            return None

        report = eventually(taken, timeout=120)
        self.failures.append(report["failures"])
        self.findings += report["findings"]


def _instance(deed: str, place: str) -> str:
    return f"{name_of(deed)}-at-{place}"


def live(world: World, name: str) -> None:
    """Let a database and a bucket live from their provision to their end."""
    offers = {f"rds-{name}": RDS, f"oss-{name}": OSS}
    for instance, offer in offers.items():
        assert world.start("provision", offer, instance) == 202
    for instance, offer in offers.items():
        assert world.end("provision", instance) == "succeeded"
        world.do("bind", offer, instance)
        assert world.credentials(instance)
        world.do("update", {**offer, "context": {"platform": "kubernetes"}}, instance)
        world.do("unbind", offer, instance)
        world.do("deprovision", offer, instance)
    assert world.left() == {}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Let all of them do what they do; what is the matter with a kind is seen in its own test."""
    settings = install(tmp_path_factory.mktemp("plugins"))
    world = World(
        tmp_path_factory.mktemp("world"),
        **settings,
        ALIBROKER_LOAD_TIMEOUT="3",
        ALIBROKER_STEP_TIMEOUT="3",
        ALIBROKER_WORKERS="2",
        ALIBROKER_SURVEY_INTERVAL="0",
    )
    house = House(world)
    try:
        house.look()
        kinds = [(deed, place) for deed in (HANG, *MISBEHAVIOUR) for place in CALLED]
        for deed, place in kinds:
            house.lead_to(deed, place)
        for deed, place in kinds:
            house.do(deed, place)
        live(world, "beside")
        house.survey()
        for kind in kinds:
            eventually(lambda kind=kind: house.shows(*kind), timeout=60)  # type: ignore[misc]
        house.look()
        Path(settings[RELEASE]).touch()
        for place in CALLED:
            house.lead_to(ABORT, place)
            house.do(ABORT, place)
        for place in STEPS:
            eventually(lambda place=place: house.shows(ABORT, place), timeout=120)  # type: ignore[misc]
        house.survey()
        live(world, "after")
        house.look()
        house.log = (world.directory / "broker.log").read_text(errors="replace")
        yield house
    finally:
        world.stop()


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("place", LOADING)
def test_one_that_cannot_be_loaded_stays_outside(house: House, deed: str, place: str) -> None:
    name = name_of(deed, place)
    assert f"plugin {name} is not loaded" in house.readyz[0]["warnings"]
    assert re.search(rf"^\S+ \S+ CRITICAL .*'{name}'", house.log, re.MULTILINE)


@pytest.mark.parametrize("deed", MISBEHAVIOUR)
@pytest.mark.parametrize("place", STEPS)
def test_a_step_is_tried_again(house: House, deed: str, place: str) -> None:
    seen = house.seen[deed, place]
    assert seen["state"] == "in progress"
    assert seen["description"].endswith("Trying again.")


@pytest.mark.parametrize("place", CALLED)
def test_what_hangs_is_named(house: House, place: str) -> None:
    what = "observe" if place == "observe" else f"instance {_instance(HANG, place)}"
    named = [one for one in house.readyz[1]["warnings"] if one.startswith(f"{name_of(HANG)}: ")]
    assert any(what in one and "has not come back" in one for one in named)


@pytest.mark.parametrize("deed", MISBEHAVIOUR)
def test_an_observation_is_taken_again(house: House, deed: str) -> None:
    assert house.seen[deed, "observe"]["state"] == "in progress"
    assert f"{name_of(deed)}: defect in observe" in house.log


@pytest.mark.parametrize("deed", [HANG, *MISBEHAVIOUR])
def test_what_cannot_be_surveyed_is_named_and_the_others_are(house: House, deed: str) -> None:
    before, after = house.failures
    assert name_of(deed) in before
    assert {"rds", "oss"}.isdisjoint(before.keys() | after.keys())


@pytest.mark.parametrize("place", STEPS)
def test_a_step_that_kills_the_process_is_given_up(house: House, place: str) -> None:
    seen = house.seen[ABORT, place]
    assert seen["state"] == "failed"
    assert "process died" in seen["description"]


@pytest.mark.parametrize("what", ["observe", "inventory"])
def test_a_look_that_kills_the_process_waits(house: House, what: str) -> None:
    deaths = rf"A process died while this ran, for the (\d)\. time: {name_of(ABORT)}: {what}\b"
    assert re.findall(deaths, house.log) == ["1", "2"]
    assert any(f"{name_of(ABORT)}: {what}" in one for one in house.readyz[2]["warnings"])


def test_the_real_services_answer_as_if_alone(house: House) -> None:
    """They have lived their lives twice by now, beside all that and after it."""
    assert [one["status"] for one in house.readyz] == ["ok"] * 3
    assert house.findings == []
    wrong = re.compile(r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) .*\b(?:rds|oss)\b.*$", re.MULTILINE)
    # What ran when another killed the process is suspected as well, until it has ended once.
    of_others = ("bad-", "A process died while this ran, for the 1. time")
    lines = wrong.findall(house.log)
    assert [line for line in lines if not any(one in line for one in of_others)] == []
