"""The real database servers behind instances: which instance has one, and what is in it.

The documents of the cloud are the truth. A server follows them: after each call that changes an
instance the server is brought into the state that its document describes, before that change is
made durable and answered.
"""

from __future__ import annotations

import ipaddress
import logging
import queue
import random
import shutil
import socket
from typing import TYPE_CHECKING, Final

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.rds import mariadb, postgres
from alibroker.sandbox.rds.keeping import Keeper, ServerError, ServerKind, Wanted, WantedAccount

if TYPE_CHECKING:
    from pathlib import Path

    from alibroker.sandbox.cloud import Cloud
    from alibroker.sandbox.rds.documents import Instance

NETWORK: Final = ipaddress.ip_network("192.168.0.0/16")
"""The address range of the simulated VPC; clients on this machine count as being in it."""
START_SECONDS: Final = 40.0
_PORTS: Final = range(20_000, 30_000)  # below those that the system hands out to clients
_log = logging.getLogger("alibroker.sandbox.servers")


class Servers:
    """Starts, fills, stops and removes database servers; used on the event loop's thread."""

    def __init__(self, directory: Path | None = None, limit: int = 0) -> None:
        """Keep servers in `directory`, so many at most; without one all are simulated."""
        self._directory = directory
        self._limit = limit
        self._kinds: dict[str, ServerKind] = {}
        if directory is not None and limit:
            self._kinds = {**mariadb.find(), **postgres.find()}
        self._keepers: dict[str, Keeper] = {}
        self._started: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

    @property
    def engines(self) -> list[str]:
        """The engines of which this machine has a server."""
        return sorted(self._kinds)

    def choose(self, cloud: Cloud, engine: str) -> int:
        """Return the port for the server of a new instance, 0 if the instance is simulated."""
        if engine not in self._kinds or len(self._keepers) >= self._limit:
            return 0
        taken = {found.port for found in cloud.instances.values()}
        for port in random.sample(_PORTS, 100):
            if port not in taken and _is_free(port):
                return port
        return 0

    def open(self, cloud: Cloud) -> None:
        """Start the servers of the instances that exist, and wait for them."""
        if self._directory is not None and self._directory.exists():
            known = {found.id for found in cloud.instances.values() if not found.deleted_at}
            for path in self._directory.iterdir():
                if path.name not in known:
                    shutil.rmtree(path)
        for instance in list(cloud.instances.values()):
            if not instance.server or instance.deleted_at:
                continue
            if instance.engine in self._kinds:
                self._begin(instance)
            else:
                cloud.instances.put(instance.id, msgspec.structs.replace(instance, server="off"))
        for keeper in self._keepers.values():
            keeper.ready.wait(START_SECONDS)
        self.harvest(cloud)
        cloud.store.commit()

    def harvest(self, cloud: Cloud) -> None:
        """Take note of servers that have come up, and fill them; commits."""
        while not self._started.empty():
            name, up = self._started.get()
            instance = cloud.instances.get(name)
            if instance is None or instance.deleted_at:
                continue
            state = "up" if up else "failed"
            if up:
                try:
                    self._keepers[name].apply(wanted(cloud, instance))
                except ServerError:
                    _log.exception("the server of %s cannot be filled", name)
                    state = "failed"
            cloud.instances.put(name, msgspec.structs.replace(instance, server=state))
            cloud.store.commit()

    def follow(self, cloud: Cloud) -> None:
        """Bring the servers into the state that the current transaction describes.

        Raises:
            ApiError: InternalError, if a server refuses.
        """
        for name in cloud.store.changed("instance"):
            instance = cloud.instances.get(name)
            keeper = self._keepers.get(name)
            if instance is None or instance.deleted_at:
                if keeper is not None:
                    del self._keepers[name]
                    keeper.end(remove=True)
            elif keeper is None:
                if instance.server == "starting":
                    self._begin(instance)
            elif instance.server == "up":
                try:
                    keeper.apply(wanted(cloud, instance))
                except ServerError:
                    _log.exception("the server of %s refuses", name)
                    raise ApiError(
                        500, "InternalError", "The database server does not answer."
                    ) from None

    def depend(self, name: str, account: str) -> bool:
        """Tell whether objects of a database depend on an account; not in a simulated instance.

        Raises:
            ApiError: InternalError, if the server refuses.
        """
        keeper = self._keepers.get(name)
        if keeper is None:
            return False
        try:
            return keeper.depend(account)
        except ServerError:
            _log.exception("the server of %s refuses", name)
            raise ApiError(500, "InternalError", "The database server does not answer.") from None

    def close(self) -> None:
        """Stop all servers in an orderly way."""
        for keeper in self._keepers.values():
            keeper.end()
        for keeper in self._keepers.values():
            keeper.join()

    def _begin(self, instance: Instance) -> None:
        if self._directory is None:
            return
        name = instance.id
        keeper = Keeper(
            self._kinds[instance.engine],
            self._directory / name,
            instance.port,
            lambda up: self._started.put((name, up)),
        )
        self._keepers[name] = keeper
        keeper.start()


def wanted(cloud: Cloud, instance: Instance) -> Wanted:
    """Return what a server is to hold: deleted things are gone from the moment of the call."""
    entries = [ip for group in instance.ip_arrays.values() for ip in group.ips]
    databases = [found.name for found in instance.databases.values() if not found.gone_at]
    return Wanted(
        databases=tuple(databases),
        tls=instance.change.tls if instance.change else instance.tls,
        reachable=any(ipaddress.ip_network(ip, strict=False).overlaps(NETWORK) for ip in entries),
        accounts=tuple(
            WantedAccount(
                name=account.name,
                password=cloud.vault.unseal(account.sealed_password),
                is_super=account.type != "Normal",
                is_locked=account.locked,
                grants=tuple(
                    (database, grant.privilege)
                    for database, grant in account.grants.items()
                    if database in databases
                ),
            )
            for account in instance.accounts.values()
            if not account.gone_at
        ),
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
