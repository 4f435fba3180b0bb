"""What was asked of a broker and what it answered, with the times: a history to judge it by."""

from __future__ import annotations

import collections
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import requests

Parameters = tuple[tuple[str, str], ...]
"""Names with their values as JSON, sorted."""

READS = ("fetch", "last_operation")

_PATH = re.compile(
    r"/v2/service_instances/(?P<instance>[^/]+)"
    r"(?:/service_bindings/(?P<binding>[^/]+))?(?P<poll>/last_operation)?"
)
_KINDS = {
    ("PUT", False): "provision",
    ("PUT", True): "bind",
    ("PATCH", False): "update",
    ("DELETE", False): "deprovision",
    ("DELETE", True): "unbind",
}
_NOT_MODELLED = ("maintenance_info", "predecessor_binding_id")


class Asked(NamedTuple):
    """What a request asks of an instance (`binding` empty) or of one of its bindings."""

    kind: str
    """provision, update, deprovision, bind, unbind, fetch or last_operation."""
    binding: str = ""
    identity: str = ""
    """What a repeated request has to have in common with the first, beside the next two."""
    plan: str = ""
    parameters: Parameters = ()


class Told(NamedTuple):
    """What an answer says; empty is what it does not say."""

    status: int
    error: str = ""
    operation: str = ""
    state: str = ""
    plan: str = ""
    parameters: Parameters | None = None
    credentials: str = ""
    """A digest: histories are printed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: it took effect, if at all, at one instant from `sent` to `answered`.

    Times are those of one monotonic clock, in seconds. Without an answer (`told` is None) nobody
    knows whether it took, or is still to take, effect: `answered` is infinite.
    """

    asked: Asked
    told: Told | None
    sent: float
    answered: float
    by: str = ""
    """Who gave the answer, where that is known."""

    def __str__(self) -> str:
        """Return it for people."""
        asked, told = self.asked, self.told
        what = f"{asked.kind} {asked.binding}".strip()
        if asked.plan or asked.parameters:
            what += f" {asked.plan[-4:]} {dict(asked.parameters)}"
        end = f"{self.answered:.3f}" if told else "..."
        said = "no answer"
        if told is not None:
            more = [told.error, told.state, told.operation[:8], told.plan[-4:]]
            said = " ".join([str(told.status), *filter(None, more)])
            if told.parameters:
                said += f" {dict(told.parameters)}"
            if told.credentials:
                said += f" credentials {told.credentials[:8]}"
        return f"{self.sent:.3f} to {end}  {what}: {said}" + (self.by and f"  (by {self.by})")


class History:
    """Takes down every request about an instance or a binding; from any thread."""

    def __init__(self) -> None:
        self.of_instance: dict[str, list[Request]] = collections.defaultdict(list)
        self.statuses: collections.Counter[int] = collections.Counter()
        """How often each status was answered; 0 is no answer."""
        self._same: dict[Any, Any] = {}

    def __len__(self) -> int:
        return sum(map(len, list(self.of_instance.values())))

    def send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str],
        send: Callable[[], requests.Response],
    ) -> requests.Response:
        """Send a request with `send`, and take down what came of it."""
        found = _PATH.fullmatch(path)
        if found is None:
            return send()
        asked = asked_for(method, found, body, query)
        told, by, answered = None, "", math.inf
        sent = time.monotonic()
        try:
            answer = send()
            answered = time.monotonic()
            told, by = told_by(answer), answer.headers.get("X-Answered-By", "")
            self.statuses[answer.status_code] += 1
        except requests.RequestException:
            self.statuses[0] += 1
            raise
        finally:
            self._take_down(found["instance"], Request(asked, told, sent, answered, by))
        return answer

    def _take_down(self, instance: str, request: Request) -> None:
        told = request.told
        if told is None or told.status >= 500:  # a 5xx says nothing about what came of it
            if request.asked.kind in READS:
                return
            request = Request(request.asked, None, request.sent, math.inf, request.by)
        elif told.status == 429:  # refused before anything looked at a record
            return
        # Polls are many, and most say the same.
        asked = self._same.setdefault(request.asked, request.asked)
        told = self._same.setdefault(request.told, request.told)
        self.of_instance[instance].append(
            Request(asked, told, request.sent, request.answered, request.by)
        )


def asked_for(method: str, path: re.Match[str], body: Any, query: Mapping[str, str]) -> Asked:
    """Return what a request asks for.

    Raises:
        ValueError: it asks for something that no history is judged by.
    """
    binding = path["binding"] or ""
    if method == "GET":
        return Asked("last_operation" if path["poll"] else "fetch", binding)
    kind = _KINDS[method, bool(binding)]
    if query.get("accepts_incomplete") != "true":
        # Its operation begins at one instant and is answered at another.
        raise ValueError(f"a {kind} that waits for its end has no place in a history")
    body = dict(body or {})
    if any(name in body for name in _NOT_MODELLED):
        raise ValueError(f"none of {_NOT_MODELLED} has a place in a history")
    source = query if method == "DELETE" else body
    same = {"service_id": source.get("service_id")}
    if kind == "provision":
        same |= {name: body.get(name) for name in ("organization_guid", "space_guid")}
    elif kind == "bind":
        scope = body.get("bind_resource") or {}
        same |= {name: scope.get(name) for name in ("app_guid", "route")}
    parameters = sorted_parameters(body.get("parameters") or {})
    return Asked(kind, binding, _json(same), source.get("plan_id") or "", parameters)


def told_by(answer: requests.Response) -> Told:
    """Return what an answer says."""
    try:
        body = answer.json()
    except requests.exceptions.JSONDecodeError:
        body = {}
    credentials = body.get("credentials")
    shown = answer.status_code == 200 and "plan_id" in body
    return Told(
        answer.status_code,
        error=body.get("error", ""),
        operation=body.get("operation", ""),
        state=body.get("state", ""),
        plan=body.get("plan_id", ""),
        parameters=sorted_parameters(body.get("parameters", {})) if shown else None,
        credentials="" if credentials is None else _digest(credentials),
    )


def sorted_parameters(parameters: Mapping[str, Any]) -> Parameters:
    """Return parameters so that equal ones are equal."""
    return tuple(sorted((name, _json(value)) for name, value in parameters.items()))


def _digest(value: Any) -> str:
    return hashlib.sha256(_json(value).encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
