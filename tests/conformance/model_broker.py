"""A broker in memory that follows the rules, but for one that it is told to break."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from model_catalog import catalog_with
from model_resources import ASYNC, BUSY, Key, Refusal, Thing

USER = "platform"
PASSWORD = "pass:wörd-of-the-platform"
POLLS = 15
"""More than the checks make while an operation runs."""
ECHO = "X-Broker-API-Request-Identity"


class ModelBroker:
    """The WSGI application."""

    def __init__(
        self, fault: str = "", *, asynchronous_only: bool = False, plans_change: bool = False
    ) -> None:
        self.fault = fault
        self.plans_change = plans_change
        self.asynchronous_only = asynchronous_only
        self.things: dict[Key, Thing] = {}
        self.ended: dict[Key, Thing] = {}
        self.log: list[str] = []
        self.catalogs = 0
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        headers = [("Content-Type", "application/json")]
        identity = environ.get("HTTP_X_BROKER_API_REQUEST_IDENTITY")
        if identity and not self.on("no-echo"):
            headers.append((ECHO, identity))
        with self.lock:
            try:
                status, body, more = self.answer(environ)
            except Refusal as ex:
                status, body, more = ex.status, ex.body, {}
                if self.on("error-empty") and status == 404:
                    body = {**body, "error": ""}
                if self.on("texts-of-its-own") and status == 422:
                    body = {**body, "description": "No!"}
                if self.on("gone-is-an-array") and status == 410:
                    body = []  # type: ignore[assignment] - that is the fault
                if self.on("usable-everywhere"):
                    body = {**body, "instance_usable": True}
                if status == 401 and not self.on("silent-401"):
                    more = {"WWW-Authenticate": "Basic realm=model"}
        start(f"{status} -", headers + list(more.items()))
        return [b"" if status == 304 else json.dumps(body).encode()]

    def on(self, fault: str) -> bool:
        return self.fault == fault

    # -- the order of checks -------------------------------------------------------------------

    def answer(self, environ: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        method = environ["REQUEST_METHOD"]
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        self.log.append(f"{method} {path}")
        self.authenticate(environ.get("HTTP_AUTHORIZATION", ""), path)
        self.check_version(environ.get("HTTP_X_BROKER_API_VERSION"))
        self.check_identity(environ.get("HTTP_X_BROKER_API_ORIGINATING_IDENTITY"))
        parts = path.strip("/").split("/")
        if not path.isprintable() and self.on("odd-id-500"):
            raise Refusal(500)
        raw_query = environ["QUERY_STRING"].encode("latin-1").decode("utf-8", "replace")
        query = parse_qs(raw_query, keep_blank_values=True)
        if len(query.get("service_id", [])) > 1 and self.on("query-twice-500"):
            raise Refusal(500)
        first = {name: values[0] for name, values in query.items()}
        if parts == ["v2", "catalog"]:
            if method != "GET":
                raise Refusal(405)
            return self.catalog(environ)
        if parts[:2] != ["v2", "service_instances"] or len(parts) not in (3, 4, 5, 6):
            raise Refusal(404)
        binding = ""
        if len(parts) > 4 and parts[3] == "service_bindings":
            binding = parts[4]
            parts = parts[:3] + parts[5:]
        key = (parts[2], binding)
        if parts[3:] == ["last_operation"]:
            return self.poll(key, first)
        if parts[3:]:
            raise Refusal(404)
        return self.change(environ, method, key, first)

    def authenticate(self, header: str, path: str) -> None:
        if self.on("polls-are-open") and path.endswith("last_operation"):
            return
        scheme, _, value = header.partition(" ")
        try:
            text = base64.b64decode(value, validate=True).decode()
        except ValueError:
            text = ""
        good = text == f"{USER}:{PASSWORD}"
        if self.on("any-password"):
            good = text.startswith(f"{USER}:")
        if scheme.lower() != "basic" or not good:
            raise Refusal(403 if self.on("403") else 401)

    def check_version(self, version: str | None) -> None:
        if version is None and self.on("version-optional"):
            return
        try:
            major, minor = (int(part) for part in (version or "").split("."))
        except ValueError:
            raise Refusal(500 if self.on("version-500") else 412, "", "Use 2.13.") from None
        if major != 2 or minor < 13 or (minor > 17 and self.on("no-higher-minor")):
            raise Refusal(400 if self.on("version-400") else 412, "", "Use 2.13 or later.")

    def check_identity(self, header: str | None) -> None:
        if header is None:
            return
        if self.on("identity-refused"):
            raise Refusal(400)
        try:
            value = json.loads(base64.b64decode(header.partition(" ")[2]))
        except ValueError:
            raise Refusal(500 if self.on("identity-500") else 400) from None
        if not isinstance(value, dict):
            raise Refusal(400)

    # -- the endpoints -------------------------------------------------------------------------

    def catalog(self, environ: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        self.catalogs += 1
        if environ.get("HTTP_IF_NONE_MATCH") == '"1"' and not self.on("etag-ignored"):
            return 304, None, {"ETag": '"1"'}
        found = catalog_with(self.fault, plans_change=self.plans_change)
        if self.on("services-missing"):
            found = {}
        if self.on("ids-change") and self.catalogs > 3:
            found["services"][0]["plans"][1]["id"] = str(uuid.uuid4())
        return 200, found, {"ETag": '"1"'}

    def poll(self, key: Key, query: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        thing = self.things.get(key) or self.ended.get(key)
        if thing is None:
            refusals = {"unknown-polls-410": 410, "unknown-polls-500": 500}
            raise Refusal(refusals.get(self.fault, 404))
        if self.on("polls-need-query") and "service_id" not in query:
            raise Refusal(400)
        known = query.get("operation") in (None, thing.operation)
        if self.on("unknown-operation-400") and not known:
            raise Refusal(400)
        if thing.running:
            thing.polls -= 1
            state = "In Progress" if self.on("odd-state") else "in progress"
            soon = "soon" if self.on("retry-soon") else "1"
            return 200, {"state": state}, {"Retry-After": soon}
        self.settle(key)
        if thing.kind == "create" and self.on("creation-fails"):
            return 200, {"state": "failed", "description": "No room."}, {}
        return 200, {"state": "succeeded"}, {}

    def change(
        self, environ: dict[str, Any], method: str, key: Key, query: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        self.settle(key)
        if method == "GET":
            return self.fetch(key)
        if method == "DELETE":
            return self.delete(key, query)
        if method == "PATCH" and self.on("no-updates"):
            raise Refusal(405)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        data = environ["wsgi.input"].read(length)
        if length > 1_000_000:
            raise Refusal(413)
        try:
            body = json.loads(data)
        except ValueError:
            raise Refusal(422 if self.on("malformed-422") else 400) from None
        except RecursionError:
            raise Refusal(500 if self.on("json-500") else 400) from None
        if not isinstance(body, dict):
            raise Refusal(422 if self.on("malformed-422") else 400)
        if method == "PATCH":
            return self.update(key, body, query)
        return self.create(key, body, query)

    def create(
        self, key: Key, body: dict[str, Any], query: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        instance, binding = key
        needed = ["service_id", "plan_id"]
        if not binding:
            needed += ["organization_guid"] + ["space_guid"] * (not self.on("space-optional"))
        self.check_members(key, body, needed)
        ids = (body["service_id"], body["plan_id"])
        self.check_offer(*ids)
        info = (body.get("maintenance_info") or {}).get("version")
        version = "1.0.0" if ids[1] == "plan-small" else None
        if info not in (None, version) and not self.on("maintenance-ignored"):
            raise Refusal(422, "MaintenanceInfoConflict")
        incomplete = query.get("accepts_incomplete") == "true"
        if self.asynchronous_only and not incomplete:
            wrong = self.on("async-required-400")
            raise Refusal(400 if wrong else 422, "AsyncRequired", ASYNC)
        if self.on("no-room") and not binding:
            raise Refusal(400, "", "No room in the house.")
        app = body.get("app_guid") or (body.get("bind_resource") or {}).get("app_guid")
        unknown = [name for name in body if name.startswith("conformance_")]
        if unknown and self.on("unknown-members-refused"):
            raise Refusal(400)
        predecessor = body.get("predecessor_binding_id")
        if binding and app is None and predecessor is None and self.on("anonymous-422"):
            raise Refusal(422, "QuotaExceeded")
        wanted = (ids, body.get("organization_guid"), body.get("parameters"), app, predecessor)
        thing = self.things.get(key)
        if thing is not None:
            return self.repeat(thing, wanted)
        if binding:
            self.check_bind(instance, body, predecessor)
        thing = self.things[key] = Thing(wanted, ids, uuid.uuid4().hex)
        self.ended.pop(key, None)
        if incomplete or self.on("async-unasked"):
            thing.polls = POLLS
            return 202, self.accepted(thing, binding), {}
        return 200 if self.on("created-200") else 201, self.shown(key, thing, first=True), {}

    def repeat(self, thing: Thing, wanted: Any) -> tuple[int, Any, dict[str, str]]:
        if thing.kind == "delete":
            raise Refusal(422, "ConcurrencyError", BUSY)
        same = wanted == thing.wanted or self.on("different-is-same")
        if self.on("rebind-any-plan"):
            same = wanted[1:] == thing.wanted[1:]
        if not same:
            raise Refusal(500 if self.on("concurrency-500") and thing.running else 409)
        if self.on("same-is-different") or (thing.running and self.on("running-is-different")):
            raise Refusal(409)
        if thing.running:
            return 202, self.accepted(thing, ""), {}
        key = next(key for key, value in self.things.items() if value is thing)
        return 200, self.shown(key, thing), {}

    def check_members(self, key: Key, body: dict[str, Any], needed: list[str]) -> None:
        wrong = [name for name in needed if not isinstance(body.get(name), str) or not body[name]]
        for name in ("parameters", "context", "bind_resource", "maintenance_info"):
            value = body.get(name)
            if value is not None and not isinstance(value, dict):
                wrong.append(name)
                if self.on("types-accepted"):
                    wrong.remove(name)
                    body[name] = None
        if wrong:
            if self.on("refused-but-created") and not key[1]:
                self.things[key] = Thing(None, ("service-vault", "plan-small"))
            raise Refusal(400)

    def check_offer(self, service: str, plan: str) -> None:
        known = {"plan-small": "service-vault", "plan-large": "service-vault"}
        known["plan-lamp"] = "service-lamp"
        if known.get(plan) != service and not self.on("unknown-offers-accepted"):
            raise Refusal(400)

    def check_bind(self, instance: str, body: dict[str, Any], predecessor: Any) -> None:
        owner = self.things.get((instance, ""))
        if owner is None or owner.kind == "delete":
            raise Refusal(404)
        if owner.running:
            raise Refusal(422, "ConcurrencyError", BUSY)
        if body["service_id"] == "service-lamp":
            raise Refusal(400)
        same = (body["service_id"], body["plan_id"]) == owner.ids
        if not same and self.fault not in ("bind-any-plan", "unknown-offers-accepted"):
            raise Refusal(400)
        if predecessor is not None:
            old = self.things.get((instance, predecessor))
            if old is None or (self.on("rotation-within-a-plan") and old.ids != owner.ids):
                raise Refusal(400)
            if self.on("rotation-replaces"):
                del self.things[instance, predecessor]

    def update(
        self, key: Key, body: dict[str, Any], query: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        self.check_members(key, body, [] if self.on("update-needs-nothing") else ["service_id"])
        thing = self.things.get(key)
        if thing is None:
            raise Refusal(404)
        if thing.running:
            raise Refusal(422, "ConcurrencyError", BUSY)
        plan = body.get("plan_id", thing.ids[1])
        if plan not in ("plan-small", "plan-large", "plan-lamp") and not self.on("any-plan"):
            raise Refusal(400)
        if plan in ("plan-small", "plan-large") and plan != thing.ids[1]:
            if self.on("plan-cannot-change"):
                raise Refusal(422, "", "There is no room in that plan.")
            if not self.plans_change and not self.on("plan-changes-anyway"):
                raise Refusal(422, "", "No plan of this service can be changed.")
            thing.ids = (thing.ids[0], plan)
        if body.get("service_id", thing.ids[0]) != thing.ids[0]:
            raise Refusal(400)
        info = (body.get("maintenance_info") or {}).get("version", "1.0.0")
        if info != "1.0.0" and not self.on("maintenance-ignored"):
            raise Refusal(422, "MaintenanceInfoConflict")
        if "parameters" not in body and "context" in body and self.on("no-context-updates"):
            raise Refusal(400)
        if query.get("accepts_incomplete") != "true":
            return 200, {}, {}
        thing.kind, thing.operation, thing.polls = "update", uuid.uuid4().hex, POLLS
        return 202, self.accepted(thing, ""), {}

    def fetch(self, key: Key) -> tuple[int, Any, dict[str, str]]:
        thing = self.things.get(key)
        if thing is None and self.on("fetch-after-delete"):
            thing = self.ended.get(key)
        hidden = {
            "create": not self.on("fetch-while-creating"),
            "update": self.on("lost-during-update"),
        }
        if thing is None or hidden.get(thing.doing):
            raise Refusal(404)
        return 200, self.shown(key, thing), {}

    def delete(self, key: Key, query: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        thing = self.things.get(key)
        ids = (query.get("service_id"), query.get("plan_id"))
        if not all(ids) and not self.on("delete-needs-nothing"):
            raise Refusal(400)
        if thing is None:
            unknown = self.on("unknown-plan-404") and "unknown" in (ids[1] or "")
            raise Refusal(404 if unknown else 410)
        if thing.kind == "delete":
            if self.on("deleting-conflicts"):
                raise Refusal(409)
            return 202, self.accepted(thing, ""), {}
        if thing.running and self.on("creation-cannot-stop"):
            raise Refusal(400)
        incomplete = query.get("accepts_incomplete") == "true"
        if self.asynchronous_only and not incomplete:
            raise Refusal(422, "AsyncRequired", ASYNC)
        careless = ("delete-any-plan", "unknown-offers-accepted")
        if all(ids) and ids != thing.ids and self.fault not in careless:
            raise Refusal(400)
        if not key[1] and self.bindings_of(key[0]) and not self.on("bindings-outlive"):
            raise Refusal(410 if self.on("no-reason") else 422, "BindingsExist", "Unbind first.")
        thing.kind, thing.operation = "delete", uuid.uuid4().hex
        if incomplete:
            thing.polls = POLLS
            return 202, self.accepted(thing, ""), {}
        thing.polls = 0
        self.settle(key)
        return 200, {}, {}

    # -- what is shown -------------------------------------------------------------------------

    def settle(self, key: Key) -> None:
        thing = self.things.get(key)
        if thing is not None and thing.kind == "delete" and not thing.running:
            self.ended[key] = self.things.pop(key)

    def bindings_of(self, instance: str) -> list[Key]:
        for key in list(self.things):
            self.settle(key)
        return [key for key in self.things if key[0] == instance and key[1]]

    def accepted(self, thing: Thing, binding: str) -> dict[str, Any]:
        operation: Any = thing.operation
        match self.fault:
            case "operation-changes":
                operation = uuid.uuid4().hex
            case "operation-long":
                operation = "x" * 10_001
            case "operation-null":
                operation = None
        body: dict[str, Any] = {"operation": operation}
        if binding and self.on("credentials-early"):
            body["credentials"] = {"password": thing.secret}
        if self.on("dashboard-empty"):
            body["dashboard_url"] = ""
        return body

    def shown(self, key: Key, thing: Thing, *, first: bool = False) -> dict[str, Any]:
        if not key[1]:
            shown: dict[str, Any] = {"service_id": thing.ids[0], "plan_id": thing.ids[1]}
            if self.on("dashboard-late") and not first:
                shown["dashboard_url"] = "https://example.com/"
            return shown
        body: dict[str, Any] = {"credentials": {"password": thing.secret, "host": "vault.test"}}
        match self.fault:
            case "no-credentials":
                body = {}
            case "shared-credentials":
                body = {"credentials": {"password": "the-same-for-all"}}
            case "drain-unpermitted":
                body["syslog_drain_url"] = f"https://user:{thing.secret}@logs.test"
            case "ports-are-numbers":
                body["endpoints"] = [{"host": "vault.test", "ports": [443]}]
            case "credentials-text":
                body = {"credentials": thing.secret}
        return body
