"""Every kind of bad plugin: what it does wrong, and where.

A *deed* is what goes wrong, a *place* is where in the plugin. This file is the table of both; it is
also what the broker's process loads: as many distributions as there are kinds, each with an entry
point of its own, are written by `install`.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pykka

from alibroker.actors import isolation, quarantine, surveyor
from alibroker.brokers.api import (
    Failed,
    Found,
    InProgress,
    Json,
    Plan,
    ServiceOffering,
    Succeeded,
    TryAgainError,
    Work,
)

RELEASE = "BAD_PLUGINS_RELEASE"
"""Variable with the path of a file: while there is none, what hangs goes on hanging."""
LOADING = ("import", "creation", "offerings")
"""Places before anything is asked for: one plugin for each deed at each of them."""
STEPS = ("provision", "update", "deprovision", "bind", "unbind")
"""Places in a plugin that was loaded: one plugin for each deed. A parameter of the instance tells
it which; what it can never do right is to observe and to take an inventory."""


class RudeError(BaseException):
    """Not even an `Exception`, and it cannot say what it is."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


def raising(error: BaseException | type[BaseException]) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def endless() -> Any:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    return InProgress(description="Round and round.", state=loop)


def hang() -> Any:
    while not released():
        time.sleep(0.05)


RUBBISH: Any = object()

MISBEHAVIOUR: dict[str, Callable[[], Any]] = {
    "raise-exception": raising(ValueError("bad")),
    "raise-system-exit": raising(SystemExit),
    "raise-keyboard-interrupt": raising(KeyboardInterrupt),
    "raise-cancelled-error": raising(asyncio.CancelledError),
    "raise-generator-exit": raising(GeneratorExit),
    "raise-stop-iteration": raising(StopIteration),
    "raise-memory-error": raising(MemoryError),
    "raise-recursion-error": raising(RecursionError),
    "raise-actor-dead": raising(pykka.ActorDeadError()),
    "raise-base-exception": raising(BaseException),
    "raise-rudely": raising(RudeError),
    "patience-without-a-reason": raising(TryAgainError(RUBBISH)),
    "patience-for-ever": raising(TryAgainError("Wait.", after=math.inf)),
    "patience-for-no-number": raising(TryAgainError("Wait.", after=math.nan)),
    "patience-into-the-past": raising(TryAgainError("Wait.", after=-5)),
    "return-none": lambda: None,
    "return-a-number": lambda: 7,
    "return-text": lambda: "done",
    "return-bytes": lambda: b"\xff",
    "return-a-class": lambda: Succeeded,
    "return-an-object": object,
    "return-objects": lambda: [object()],
    "no-text": lambda: InProgress(description=RUBBISH),
    "no-seconds": lambda: InProgress(description="Soon.", poll_after=RUBBISH),
    "nan-seconds": lambda: InProgress(description="Soon.", poll_after=math.nan),
    "endless-seconds": lambda: InProgress(description="Soon.", poll_after=math.inf),
    "negative-seconds": lambda: InProgress(description="Soon.", poll_after=-1),
    "no-state": lambda: InProgress(description="Soon.", state=RUBBISH),
    "endless-state": endless,
    "no-facts": lambda: Succeeded(resource=RUBBISH),
    "no-reason": lambda: Failed(reason=RUBBISH),
    "lone-surrogate": lambda: InProgress(description="\ud800"),
}
"""What a process survives that only looks at what comes back: raises and rubbish."""
ABORT, HANG = "abort", "hang"
DEEDS = {ABORT: os.abort, HANG: hang, **MISBEHAVIOUR}


def name_of(deed: str, place: str = "") -> str:
    """Return the name of the plugin that does it: at a place of loading, or once it runs."""
    return f"bad-{deed}-{place}" if place else f"bad-{deed}"


class BadBroker:
    """Does its deed at the place that a parameter of the instance names, else what is right."""

    instance_fact = "token"
    binding_fact = "lock"

    def __init__(self, deed: str, place: str = "") -> None:
        self.name = name_of(deed, place)
        self._act = DEEDS[deed]
        self._deadly = deed == ABORT
        self._place = place

    def offerings(self) -> Sequence[ServiceOffering]:
        if self._place == "offerings":
            return self._act()  # type: ignore[no-any-return]
        schema = {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object"}
        plan = Plan(
            id=f"{self.name}-plan",
            name="bad",
            description="Bad",
            maximum_polling_duration=600,
            schemas={"service_instance": {"update": {"parameters": schema}}},
        )
        return [
            ServiceOffering(
                id=self.name, name=self.name, description="Bad", bindable=True, plans=(plan,)
            )
        ]

    def _step(self, work: Work) -> Any:
        place = work.parameters.get("place")
        if place == work.kind:
            return self._act()
        if place == "observe" and work.observation is None and work.kind == "provision":
            return InProgress(description="Being built.", poll_after=0.05)
        return Succeeded(credentials={"key": "k"} if work.kind == "bind" else None)

    provision = update = deprovision = bind = unbind = _step

    def observe(self, _works: Sequence[Work]) -> Mapping[str, Json]:
        return self._act()  # type: ignore[no-any-return]

    def inventory(self) -> Iterator[Found]:
        # What kills the process does so for nobody who asks about the others.
        return iter(()) if self._deadly and not released() else self._act()

    def exists(self, _resource: Json, *, of_binding: bool) -> bool:
        return of_binding

    def keep(self, _found: Found) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Hold nothing."""


def offer_of(deed: str) -> dict[str, str]:
    """Return service and plan of the plugin that does it once it runs."""
    return {"service_id": name_of(deed), "plan_id": f"{name_of(deed)}-plan"}


def install(directory: Path) -> dict[str, str]:
    """Write all of them into a directory; returns the variables with which a process finds them."""
    points = []
    for deed in DEEDS:
        for place in ("", *LOADING):
            name = name_of(deed, place)
            module = name.replace("-", "_")
            (directory / f"{module}.py").write_text(_CODE.format(deed=deed, place=place))
            points.append(f"{name} = {module}:create")
    metadata = directory / "bad_plugins-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugins\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "\n".join(["[alibroker.brokers]", *points]), encoding="utf-8"
    )
    return {
        "PYTHONPATH": os.pathsep.join([str(directory), str(Path(__file__).parent)]),
        RELEASE: str(directory / "released"),
    }


def released() -> bool:
    """Tell whether what hangs is to come back, and what kills an inventory to do so."""
    return Path(os.environ[RELEASE]).exists()


_CODE = """\
from bad_plugins import DEEDS, BadBroker, hasten

hasten()
place, act = {place!r}, DEEDS[{deed!r}]


def create(settings):
    return act() if place == "creation" else BadBroker({deed!r}, place)


if place == "import":
    create = act()
"""


def hasten() -> None:
    """In the broker's process: believe sooner that something hangs, or kills, for good."""
    surveyor.INVENTORY_PATIENCE = 1.0  # type: ignore[misc]
    quarantine.GROWTH = 1000.0  # type: ignore[misc]
    quarantine.MOST_DEATHS = isolation.MOST_DEATHS = 2  # type: ignore[misc]
