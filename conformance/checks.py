"""What a check is, and the list of all of them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from alibroker.conformance.exchange import Exchange
from alibroker.conformance.session import Session
from alibroker.conformance.settings import Version


class Level(enum.StrEnum):
    """How binding a rule is."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Stage(enum.StrEnum):
    """When a check runs. The first two and the last are about the broker, the others per plan."""

    CATALOG = "catalog"
    REQUESTS = "requests"
    REFUSED = "refused"
    SYNCHRONOUS = "synchronous"
    CREATING = "creating"
    READY = "ready"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    UNBOUND = "unbound"
    IDLE = "idle"
    LAST_BINDING = "last binding"
    DELETING = "deleting"
    DELETED = "deleted"
    CHANGED = "changed plan"
    ORPHAN = "orphan"
    AUDIT = "audit"

    @property
    def per_plan(self) -> bool:
        """Whether it is gone through for each plan."""
        return self not in (Stage.CATALOG, Stage.REQUESTS, Stage.AUDIT)


@dataclass(frozen=True)
class Problem:
    """What is wrong, and the exchanges that show it."""

    text: str
    exchanges: tuple[Exchange, ...] = ()


@dataclass(frozen=True)
class Remark:
    """What is worth knowing and not wrong."""

    text: str


class NotApplicableError(Exception):
    """There is nothing here that the rule is about."""


Findings = Iterator[Problem | Remark]
Function = Callable[[Session], Findings]


@dataclass(frozen=True)
class Check:
    """A check: a function that looks for problems."""

    name: str
    rules: tuple[str, ...]
    level: Level
    title: str
    theme: str
    stage: Stage
    since: Version
    run: Function


_REGISTRY: list[Check] = []


def check(
    *rules: str,
    level: Level,
    stage: Stage,
    title: str,
    since: Version = (2, 13),
) -> Callable[[Function], Function]:
    """Register a function as a check of some rules, that hold since a version of the OSB API."""

    def register(function: Function) -> Function:
        name = function.__name__.replace("_", "-")
        theme = function.__module__.rpartition(".")[2].replace("_", " ")
        _REGISTRY.append(Check(name, rules, level, title, theme, stage, since, function))
        return function

    return register


def registered() -> tuple[Check, ...]:
    """Return what is registered so far; `rules.all_checks` sees to it that it is all."""
    return tuple(_REGISTRY)


def unless(exchange: Exchange, statuses: Collection[int], what: str) -> Findings:
    """Find a problem in an answer with any other status."""
    if exchange.status not in statuses:
        wanted = " or ".join(str(status) for status in sorted(statuses))
        yield Problem(f"{what}: {exchange.outcome}, not {wanted}", (exchange,))


def unless_refused(exchange: Exchange, what: str) -> Findings:
    """Find a problem in an answer that is no 4xx."""
    if not exchange.refused:
        yield Problem(f"{what}: {exchange.outcome}, not a status 4xx", (exchange,))


def if_broken(exchange: Exchange, what: str) -> Findings:
    """Find a problem in an answer that is 5xx, or missing."""
    if exchange.broken:
        yield Problem(f"{what}: {exchange.outcome}", (exchange,))
