"""The command against a broker that somebody else's library answers for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import flask
import pytest
from openbrokerapi import api, errors
from openbrokerapi.auth import BrokerCredentials
from openbrokerapi.catalog import ServicePlan
from openbrokerapi.service_broker import (
    BindDetails,
    Binding,
    BindState,
    DeprovisionServiceSpec,
    LastOperation,
    OperationState,
    ProvisionDetails,
    ProvisionedServiceSpec,
    ProvisionState,
    Service,
    ServiceBroker,
    UnbindSpec,
    UpdateDetails,
    UpdateServiceSpec,
)

USER = "platform"
PASSWORD = "pass:wörd-of-the-platform"

# Each was looked at: it is the library that answers so, whatever the service does.
FAULTS = {
    # It fails on credentials that are not UTF-8, versions that are none, and very deep JSON.
    "odd-credentials-break-nothing",
    "garbage-as-version-breaks-nothing",
    "odd-json-breaks-nothing",
    # It asks for members, not for their types, nor whether they are empty.
    "missing-members-are-refused",
    "wrong-types-are-refused",
    "update-with-wrong-types-is-refused",
    "incomplete-binds-are-refused",
    "incomplete-unbinds-are-refused",
    "incomplete-deprovisions-are-refused",
    # With one service only, it takes any id for that service's.
    "unknown-offers-are-refused",
    "binds-of-unknown-offers-are-refused",
    # A service has no way to say to it that there is no such instance: 500, and for polls 410.
    "binds-to-unknown-instances-are-refused",
    "polls-of-unknown-instances-are-not-found",
    "errors-have-texts",
}


class Shelf(ServiceBroker):  # type: ignore[misc] - the library publishes no types
    """A service in memory, all of it synchronous."""

    def __init__(self) -> None:
        self.instances: dict[str, tuple[Any, ...]] = {}
        self.bindings: dict[tuple[str, str], tuple[Any, ...]] = {}

    def catalog(self) -> Service:
        plan = ServicePlan(id="shelf-plan", name="small", description="A small shelf")
        return Service(id="shelf", name="shelf", description="Shelves", bindable=True, plans=[plan])

    def provision(
        self, instance_id: str, details: ProvisionDetails, **_: Any
    ) -> ProvisionedServiceSpec:
        wanted = (details.plan_id, details.organization_guid, details.space_guid)
        known = self.instances.setdefault(instance_id, wanted)
        if known is wanted:
            return ProvisionedServiceSpec(state=ProvisionState.SUCCESSFUL_CREATED)
        if known != wanted:
            raise errors.ErrInstanceAlreadyExists
        return ProvisionedServiceSpec(state=ProvisionState.IDENTICAL_ALREADY_EXISTS)

    def update(self, instance_id: str, details: UpdateDetails, **_: Any) -> UpdateServiceSpec:
        if instance_id not in self.instances or details.service_id != "shelf":
            raise errors.ErrInvalidParameters("unknown")
        return UpdateServiceSpec(is_async=False)

    def deprovision(self, instance_id: str, *_: Any, **__: Any) -> DeprovisionServiceSpec:
        if self.instances.pop(instance_id, None) is None:
            raise errors.ErrInstanceDoesNotExist
        return DeprovisionServiceSpec(is_async=False)

    def bind(self, instance_id: str, binding_id: str, details: BindDetails, **_: Any) -> Binding:
        app = details.bind_resource.app_guid if details.bind_resource else None
        if instance_id not in self.instances:
            raise errors.ErrInstanceDoesNotExist
        wanted = (details.plan_id, app)
        known = self.bindings.setdefault((instance_id, binding_id), wanted)
        if known != wanted:
            raise errors.ErrBindingAlreadyExists
        same = BindState.IDENTICAL_ALREADY_EXISTS
        state = BindState.SUCCESSFUL_BOUND if known is wanted else same
        return Binding(state=state, credentials={"key": f"key-of-{binding_id}"})

    def unbind(self, instance_id: str, binding_id: str, *_: Any, **__: Any) -> UnbindSpec:
        if self.bindings.pop((instance_id, binding_id), None) is None:
            raise errors.ErrBindingDoesNotExist
        return UnbindSpec(is_async=False)

    def last_operation(self, instance_id: str, *_: Any, **__: Any) -> LastOperation:
        if instance_id not in self.instances:
            raise errors.ErrInstanceDoesNotExist
        return LastOperation(OperationState.SUCCEEDED, "Done.")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def url(shelf: Shelf, serve_wsgi: Callable[[Any], str]) -> str:
    app = flask.Flask("shelf")
    quiet = logging.getLogger("shelf")
    quiet.setLevel(logging.CRITICAL)
    credentials = BrokerCredentials(USER, PASSWORD)
    app.register_blueprint(api.get_blueprint(shelf, credentials, quiet))
    return serve_wsgi(app)


def test_the_faults_of_the_library_are_found_and_nothing_else(
    url: str, shelf: Shelf, conform: Any
) -> None:
    run = conform(url, exit_code=1)
    assert run.failed("MUST") == FAULTS, run.explain()
    for check in ("bind-gives-credentials", "synchronous-provision-is-done-or-refused"):
        assert run.outcome(check) == "pass"
    assert run.document["left_behind"] == []
    assert shelf.instances == {}
    assert shelf.bindings == {}
