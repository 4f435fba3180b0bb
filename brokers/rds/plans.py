"""What a plan's `settings` may say, checked at start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from alibroker.brokers.api import Json, ServiceOffering, Work
from alibroker.brokers.rds.engines import ENGINES, Engine


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What instances of a plan are made of; the words of CreateDBInstance."""

    engine: str = "MySQL"
    engine_version: str
    instance_class: str
    storage: int
    """GB."""
    storage_type: str = ""
    """Empty for the usual one of the class."""
    category: str = ""
    """Empty for the one that the class belongs to."""
    class_of_version: Mapping[str, str] = {}
    """Versions that need another class than `instance_class` if the user names none."""
    replaced_classes: Mapping[str, str] = {}
    """Classes that users still ask for, and what they get."""


def read_plan(settings: Json) -> PlanSettings:
    """Return the settings of a plan that was checked at start."""
    return msgspec.convert(settings, PlanSettings)


def engine_of(work: Work) -> Engine:
    """Return the engine of the plan that an operation is about."""
    return ENGINES[str(work.plan_settings.get("engine", "MySQL"))]


def plan_faults(offerings: Iterable[ServiceOffering]) -> Iterator[str]:
    """Yield what is wrong with the settings of plans, each with its place."""
    for offering in offerings:
        for plan in offering.plans:
            place = f"service {offering.name!r}, plan {plan.name!r}: settings"
            try:
                settings = msgspec.convert(plan.settings, PlanSettings)
            except msgspec.ValidationError as error:
                yield f"{place}: {str(error).replace('`$', '`settings')}"
                continue
            if settings.engine not in ENGINES:
                yield f"{place}: engine is none of {', '.join(ENGINES)}"
            if settings.storage <= 0 or settings.storage % 5:
                yield f"{place}: storage is not a multiple of 5 GB"
