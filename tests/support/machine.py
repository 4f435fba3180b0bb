"""One replica of the broker as on a machine of its own: own data, own clock, own ways to etcd."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import psutil
from relay import Relay
from waiting import eventually

from alibroker.cli.processes import Broker, free_port

SHIFTED = Path(__file__).resolve().parent / "shifted"


class Machine:
    """Begins without a broker.

    Args:
        directory: where its data and its log lie.
        settings: those of the broker that all machines have in common.
        endpoints: where each etcd server is reached.
    """

    def __init__(
        self, directory: Path, settings: Mapping[str, str], endpoints: Mapping[str, str]
    ) -> None:
        directory.mkdir()
        self.log = directory / "broker.log"
        self.port = free_port()
        self.relays = {name: Relay(url) for name, url in endpoints.items()}
        self._clock = directory / "clock"
        self.set_clock(0.0)
        self._settings = {
            **settings,
            "ALIBROKER_BIND": f"127.0.0.1:{self.port}",
            "ALIBROKER_DATA_DIR": str(directory / "data"),
            "ALIBROKER_ETCD_ENDPOINTS": ",".join(one.endpoint for one in self.relays.values()),
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(SHIFTED), os.environ.get("PYTHONPATH")])
            ),
            "SHIFTED_CLOCK": str(self._clock),
        }
        self._broker: Broker | None = None

    @property
    def broker(self) -> Broker:
        """The broker that was started last."""
        assert self._broker is not None
        return self._broker

    def start(self) -> None:
        """Start the broker, and do not wait for it."""
        with self.log.open("ab") as log:
            self._broker = Broker(self._settings, stderr=log)

    def stop(self) -> None:
        """Stop the broker in good order."""
        self.broker.process.stop()

    def kill(self) -> None:
        """SIGKILL all of the broker."""
        master = psutil.Process(self.broker.process.pid)
        for one in [master, *master.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.broker.process.wait()

    def worker(self) -> psutil.Process:
        """Return gunicorn's worker process, which is the replica."""

        def find() -> list[psutil.Process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                return psutil.Process(self.broker.process.pid).children()
            return []

        found: list[psutil.Process] = eventually(find, timeout=60)
        return found[0]

    def signal(self, number: signal.Signals) -> None:
        """Send the replica a signal, if it is there."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.worker().send_signal(number)

    def cut_off(self, *, silently: bool) -> None:
        """Let nothing pass to or from any etcd server; the other side refuses, or is silent."""
        for relay in self.relays.values():
            if silently:
                relay.stall()
            else:
                relay.refuse()

    def connect(self) -> None:
        """Let everything pass again."""
        for relay in self.relays.values():
            relay.heal()

    def set_clock(self, seconds: float) -> None:
        """Set the replica's clock wrong by so many seconds."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._clock)

    def end(self) -> None:
        """Stop all that there is on it."""
        self.connect()
        if self._broker is not None:
            self.stop()
        for relay in self.relays.values():
            relay.stop()
