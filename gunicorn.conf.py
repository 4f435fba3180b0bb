"""How gunicorn runs the broker: `gunicorn` alone, started in this folder, does it all.

Without ALIBROKER_ETCD_ENDPOINTS the master process keeps an embedded etcd, started before the first
worker and stopped after the last.
"""

import contextlib
import importlib
import logging
import logging.config
import math
import os
import sys
from typing import Any

from alibroker.actors.settings import EngineSettings, SettingsError, read_settings
from alibroker.etcd.embedded import FORMER_PATIENCE, EmbeddedEtcd, EmbeddedEtcdError
from alibroker.http import precautions
from alibroker.http.app import EMBEDDED_ENDPOINT, EMBEDDED_KEEPER
from alibroker.http.connections import bound_connections
from alibroker.http.ending import exit_worker
from alibroker.http.logs import LOGGING
from alibroker.http.settings import EdgeSettings
from alibroker.http.siblings import Seat

# Not through gunicorn's logconfig_dict: that turns on its access log, which costs half the speed.
logging.config.dictConfig(LOGGING)
_log = logging.getLogger("alibroker")

try:
    _edge = read_settings(EdgeSettings, os.environ)
    _engine = read_settings(EngineSettings, os.environ)
except SettingsError as ex:
    sys.exit(f"alibroker does not start: {ex}")

wsgi_app = "alibroker.http.app:get_app()"
worker_class = "asgi"
asgi_lifespan = "on"
bind = [_edge.bind]
certfile = str(_edge.tls_cert) if _edge.tls_cert else None
keyfile = str(_edge.tls_key) if _edge.tls_key else None
# Each is a replica; see docs/architecture.md.
workers = int(os.environ.get("WEB_CONCURRENCY") or 1)
# Seconds in which the worker has to show a sign of life.
timeout = 120
# Requests, then steps in flight (10 s), are waited for.
graceful_timeout = 30 + math.ceil(_edge.stop_delay)
# Seconds for which a connection is kept for another request.
keepalive = 5
# Connections at once; more are refused (gunicorn itself would not: connections.py does).
worker_connections = 4000
# Nobody waits for an answer whose client has left. With the usual three seconds, clients that use a
# connection for one request make the worker grow by 10 kB each: the garbage collector is late.
asgi_disconnect_grace_period = 0
# Bytes of a request line: two ids of 512 characters take up to 12,288 of them when percent-encoded.
limit_request_line = 16_384
# Bytes of a header line, so that the bound on originating identities is ours and explains itself;
# and how many of them there can be. All together are bounded by connections.py.
limit_request_field_size = 33_280
limit_request_fields = 64
# Actors, and the connection to etcd, do not survive a fork.
preload_app = False
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Take precautions, and begin to start the embedded etcd unless the settings name another.

    Where the workers listen may be said elsewhere than in this file.
    """
    # Kept where a reload of this file (SIGHUP) does not forget it.
    server.embedded_etcd = None
    for warning in precautions.warnings(_edge, _engine, os.environ):
        _log.warning("%s", warning)
    try:
        # Not where the settings are read: a file that has become wrong would end, at a reload,
        # the master that reads it and with it all workers that serve.
        _edge.users()
        _edge.operators()
        precautions.check(_edge, _engine, precautions.listening_at(server.cfg.address))
    except SettingsError as ex:
        _log.critical("alibroker does not start: %s", ex)
        sys.exit(1)
    if _engine.endpoints:
        return
    try:
        # The successor of a master (SIGUSR2) uses the etcd of that for as long as it lives.
        patience = math.inf if server.master_pid else FORMER_PATIENCE
        embedded = EmbeddedEtcd(_engine.data_dir / "etcd", patience=patience)
        # Whether it comes up is seen by the worker, which listens meanwhile: it may take minutes.
        embedded.begin()
    except Exception as ex:  # noqa: BLE001 - whatever it is, it ends the start
        _log.critical("Embedded etcd does not start: %s", ex)
        sys.exit(1)
    server.embedded_etcd = embedded
    os.environ[EMBEDDED_ENDPOINT] = embedded.endpoint
    os.environ[EMBEDDED_KEEPER] = str(embedded.keeper_pid)


def when_ready(server: object) -> None:  # noqa: ARG001 - gunicorn's signature
    """Load what workers need for most of their start, once for all of them.

    One that follows another is there sooner, and they share the memory. Etcd comes up meanwhile;
    not in `on_starting`, where gunicorn does not notice yet that the keeper has given up.
    """
    for name in ("aliyunsdkcore.client", "oss2"):
        # What cannot be loaded is reported by the plugins that need it; the others serve.
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker a seat among its siblings."""
    worker.seat = None
    try:
        address = " ".join(map(str, server.LISTENERS))
        worker.seat = Seat(_engine.data_dir / "workers", address)
    except OSError as ex:
        _log.warning("Workers do not see each other, and answer 503 while they start: %s", ex)


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Let go of the siblings' seats."""
    for sibling in server.WORKERS.values():
        if sibling.seat is not None:
            sibling.seat.close()


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Let go of the seat of a worker that has ended."""
    if worker.seat is not None:
        worker.seat.close()


def post_worker_init(worker: object) -> None:
    """Bound what clients can do to the worker, and let them in when it can answer."""
    bound_connections(worker, delay=_edge.stop_delay)


def worker_exit(server: object, worker: object) -> None:  # noqa: ARG001 - gunicorn's signature
    """Give the worker the exit code that it has chosen; of one the master ends as well."""
    exit_worker()


def on_exit(server: Any) -> None:
    """Stop the embedded etcd, after the last worker; say why if it has ended by itself."""
    embedded: EmbeddedEtcd | None = server.embedded_etcd
    if embedded is None:
        return
    try:
        embedded.check()
    except EmbeddedEtcdError as ex:
        _log.critical("The embedded etcd has ended: %s", ex)
    embedded.stop()
