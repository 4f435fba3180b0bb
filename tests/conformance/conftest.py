"""Brokers served for real, and the command run against them."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result
from waiting import eventually
from werkzeug.serving import make_server

from alibroker.cli.main import main
from alibroker.conformance import session
from alibroker.conformance.command import PASSWORD as VARIABLE
from alibroker.conformance.rules import orphans
from alibroker.conformance.transport import Transport

sys.path.insert(0, str(Path(__file__).parent))  # for model_broker.py and inside.py

USER = "platform"
PASSWORD = "pass:wörd-of-the-platform"


@dataclass(frozen=True)
class Run:
    """What came of a run of the command."""

    result: Result
    document: dict[str, Any]

    def failed(self, *levels: str) -> set[str]:
        return {
            one["check"]
            for one in self.document["results"]
            if one["result"] == "fail" and one["level"] in (levels or ("MUST", "SHOULD", "MAY"))
        }

    def outcome(self, check: str) -> str:
        (found,) = {one["result"] for one in self.document["results"] if one["check"] == check}
        return str(found)

    def explain(self) -> str:
        """Return what failed, for the message of an assertion."""
        lines = []
        for one in self.document["results"]:
            if one["result"] == "fail":
                lines.append(f"{one['level']} {one['rules']} {one['check']} {one['plan']}")
                lines += [f"    {problem['text']}" for problem in one["problems"]]
        return "\n".join(lines)


Conform = Callable[..., Run]


@pytest.fixture
def conform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Conform:
    """Return a function that runs the command against a broker."""
    monkeypatch.setattr(orphans, "LATE", 0.1)

    def run(url: str, *options: str, exit_code: int | None = None) -> Run:
        path = tmp_path / "report.json"
        path.unlink(missing_ok=True)
        arguments = ["conformance", "--url", url, "--user", USER, "--json", str(path), *options]
        result = CliRunner().invoke(main, arguments, env={VARIABLE: PASSWORD})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        run = Run(result, json.loads(path.read_text()) if path.exists() else {})
        if exit_code is not None:
            assert result.exit_code == exit_code, run.explain() or result.output
        return run

    return run


@pytest.fixture
def serve_asgi() -> Iterator[Callable[[Any], str]]:
    """Return a function that serves an ASGI application and returns its URL."""
    servers = []

    def serve(app: Any) -> str:
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    yield serve
    for server, thread in servers:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def serve_wsgi() -> Iterator[Callable[[Any], str]]:
    """Return a function that serves a WSGI application and returns its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    servers = []

    def serve(app: Any) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join(20)
        server.server_close()


@pytest.fixture
def reach_inside(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], str]:
    """Return a function that has the command reach a WSGI application without a server.

    The URL that it returns is for one application at a time.
    """
    from inside import Inside  # noqa: PLC0415 - it lies in this folder

    def reach(app: Any) -> str:
        class Direct(Transport):
            def __init__(self, url: str, **more: Any) -> None:
                super().__init__(url, **more)
                self._session.mount("http://", Inside(app))

        monkeypatch.setattr(session, "Transport", Direct)
        return "http://inside.test"

    return reach
