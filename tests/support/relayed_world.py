"""A world whose etcd is not the broker's own, with a relay on the way to it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
from pathlib import Path

import psutil
from relay import Relay
from waiting import eventually
from world import World

from alibroker.actors.settings import EngineSettings
from alibroker.etcd.binary import Binary
from alibroker.etcd.embedded import QUOTA_BYTES, EmbeddedEtcd
from alibroker.etcd.sealing import Sealer


class RelayedWorld(World):
    """A world whose etcd is reached over TCP, and which `relay` cuts off at will.

    Args:
        directory: where all data lie.
        quota: bytes at which etcd takes no more.
        etcd_binary: the etcd program, if it is not the usual one.
        settings: more settings of the broker.
    """

    def __init__(
        self,
        directory: Path,
        *,
        quota: int = QUOTA_BYTES,
        etcd_binary: Binary | None = None,
        **settings: str,
    ) -> None:
        self.server = EmbeddedEtcd(directory / "etcd", quota=quota, binary=etcd_binary)
        self.server.start()
        self.relay = Relay(self.server.endpoint)
        key = base64.b64encode(hashlib.sha256(b"laboratory").digest()).decode()
        try:
            super().__init__(
                directory,
                ALIBROKER_ETCD_ENDPOINTS=self.relay.endpoint,
                ALIBROKER_SEAL_KEY=key,
                **settings,
            )
        except BaseException:
            self._stop_etcd()
            raise

    @property
    def store(self) -> str:
        """Where the store is reached without the relay."""
        return self.server.endpoint

    def sealer(self) -> Sealer:
        """Return what opens the secrets in the store."""
        return EngineSettings(seal_key=self.settings["ALIBROKER_SEAL_KEY"]).sealer()

    def etcd(self) -> psutil.Process:
        """Return the etcd process."""

        def find() -> psutil.Process | None:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self.server.keeper_pid).children():
                    if child.name() == "etcd" and child.status() != psutil.STATUS_ZOMBIE:
                        return child
            return None

        found: psutil.Process = eventually(find)
        return found

    def kill_all_of_broker(self) -> None:
        """SIGKILL master, worker and etcd at once, and start all anew."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.etcd().pid, signal.SIGKILL)
        super().kill_all_of_broker()

    def stop(self) -> None:
        """Stop all."""
        self.relay.heal()
        super().stop()
        self._stop_etcd()

    def _stop_etcd(self) -> None:
        self.relay.stop()
        self.server.stop()
