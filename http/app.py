"""The ASGI application: `create_app` for tests and embedding, `get_app` for a deployment."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi

from alibroker.actors.quarantine import Quarantine
from alibroker.actors.settings import EngineSettings, SettingsError, read_settings, variable
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.catalog import CatalogError
from alibroker.brokers.loading import PluginError, load_brokers
from alibroker.http.addresses import Addresses
from alibroker.http.authentication import Authentication
from alibroker.http.bindings import ServiceBinding, ServiceBindingOperation
from alibroker.http.catalog import CatalogResource
from alibroker.http.ending import BOOT_ERROR, end_process
from alibroker.http.errors import OsbError, render_defect, render_http_error, render_osb_error
from alibroker.http.guesses import Guesses
from alibroker.http.headers import Conversation, RequestIdentity
from alibroker.http.health import Alive, Ready
from alibroker.http.instances import ServiceInstance, ServiceInstanceOperation
from alibroker.http.openapi import OpenApi
from alibroker.http.operator import FindingResource, SurveyResource
from alibroker.http.receiving import BoundedApp
from alibroker.http.settings import EdgeSettings
from alibroker.http.starting import Deployment, Gate, Lifespan

log = logging.getLogger(__name__)

EMBEDDED_ENDPOINT = "ALIBROKER_EMBEDDED_ETCD"
"""Where gunicorn's master tells its workers how to reach the etcd that it started."""

EMBEDDED_KEEPER = "ALIBROKER_EMBEDDED_ETCD_KEEPER"
"""The process id of what keeps that etcd running."""

_INSTANCE = "/v2/service_instances/{instance_id}"
_BINDING = _INSTANCE + "/service_bindings/{binding_id}"

App = falcon.asgi.App[Any, Any]


def create_app(
    system: BrokerSystem,
    users: Mapping[str, str],
    settings: EdgeSettings | None = None,
    *,
    operators: Mapping[str, str] | None = None,
    deployment: Deployment | None = None,
) -> App:
    """Return the OSB API over an actor system.

    Args:
        system: answers the requests.
        users: passwords by name.
        operators: passwords by name of those who may look after the broker itself.
        settings: bounds and times.
        deployment: knows whether its process is to stop.
    """
    settings = settings or EdgeSettings()
    app = _app(
        _authentication(users, operators or {}, settings, system.replicas),
        Gate(
            lambda: system.view.complete,
            system.up_to_date,
            lambda: deployment is not None and deployment.stopping,
        ),
        Ready(lambda: _problems(system, deployment), system.warnings),
        Conversation(settings.missing_version),
    )
    app.add_route("/openapi.json", OpenApi(settings))
    app.add_route("/v2/catalog", CatalogResource(system.catalog))
    app.add_route("/operator/survey", SurveyResource(system))
    app.add_route("/operator/findings/{finding_id}", FindingResource(system, settings))
    app.add_route(_INSTANCE, ServiceInstance(system, settings))
    app.add_route(_INSTANCE + "/last_operation", ServiceInstanceOperation(system, settings))
    app.add_route(_BINDING, ServiceBinding(system, settings))
    app.add_route(_BINDING + "/last_operation", ServiceBindingOperation(system, settings))
    return app


def _problems(system: BrokerSystem, deployment: Deployment | None) -> list[str]:
    stopping = ["this process is being stopped"] if deployment and deployment.last else []
    return stopping + system.problems()


def _authentication(
    users: Mapping[str, str],
    operators: Mapping[str, str],
    settings: EdgeSettings,
    replicas: Callable[[], int] = lambda: 1,
) -> Authentication:
    guesses = Guesses(settings.wrong_passwords, shared_by=replicas)
    return Authentication(users, operators, guesses, Addresses(settings.proxies()))


def _app(authentication: Authentication, gate: Gate, ready: Ready, *middleware: Any) -> App:
    """Return what answers probes, and all errors in their form."""
    app: App = BoundedApp(middleware=[RequestIdentity(), authentication, gate, *middleware])
    app.add_error_handler(Exception, render_defect)
    app.add_error_handler(falcon.HTTPError, render_http_error)
    app.add_error_handler(OsbError, render_osb_error)
    app.add_route("/healthz", Alive())
    app.add_route("/readyz", ready)
    return app


def get_app() -> Deployment:
    """Return the application as the environment configures it; named in `gunicorn.conf.py`.

    It can answer at once; what takes long begins with the server.

    Raises:
        SystemExit: It cannot be started like this; the log names the setting to change.
    """
    try:
        return _configured_app()
    except SettingsError as ex:
        log.critical("alibroker does not start: %s", ex)
        raise SystemExit(BOOT_ERROR) from None


def _configured_app() -> Deployment:
    engine = read_settings(EngineSettings, os.environ)
    edge = read_settings(EdgeSettings, os.environ)
    wrong: SettingsError | None = None
    users: dict[str, str] = {}
    operators: dict[str, str] = {}
    try:
        users, operators = edge.users(), edge.operators()
    except SettingsError as ex:
        # A file with them can be changed while others serve: they are not to be ended by that.
        wrong = ex
    embedded, keeper = os.environ.get(EMBEDDED_ENDPOINT), os.environ.get(EMBEDDED_KEEPER)
    if not (engine.endpoints or embedded):
        raise SettingsError("Set ALIBROKER_ETCD_ENDPOINTS, or start gunicorn with gunicorn.conf.py")
    quarantine = Quarantine(engine.notes)

    def load() -> BrokerSystem:
        if wrong is not None:
            raise wrong
        return _load(engine, embedded, quarantine)

    def serve(system: BrokerSystem) -> None:
        deployment.app = create_app(system, users, edge, operators=operators, deployment=deployment)

    if engine.endpoints:
        embedded = keeper = None
    lifespan = Lifespan(
        load,
        serve,
        expected=(SettingsError, PluginError, CatalogError),
        on_stop=quarantine.close,
        embedded=Path(embedded.removeprefix("unix:")) if embedded else None,
        keeper=int(keeper) if keeper else None,
    )
    deployment = Deployment(
        _app(
            _authentication(users, operators, edge),
            Gate(lambda: False, _never),
            Ready(lambda: [lifespan.waits_for]),
            lifespan,
        ),
        lifespan,
    )
    return deployment


async def _never() -> bool:
    return False


def _load(engine: EngineSettings, embedded: str | None, quarantine: Quarantine) -> BrokerSystem:
    loaded = load_brokers(
        {**os.environ, variable("data_dir"): str(engine.data_dir)},
        strict=engine.strict_plugins,
        timeout=engine.load_timeout,
        attempt=quarantine.load,
    )
    for failure in loaded.failures.values():
        log.critical("Not loaded, its services are not offered: %s", failure)
    return BrokerSystem(
        loaded.plugins,
        engine.store([embedded] if embedded else []),
        engine.sealer(),
        engine,
        not_loaded=loaded.failures,
        quarantine=quarantine,
        on_give_up=end_process,
    )
