"""Several etcd members on this machine, whose processes and connections can be hurt one by one.

Members reach each other through relays that know who calls, so that any two can be kept apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import grpc
from etcd3.etcdrpc import MaintenanceStub, StatusRequest
from relay import Relay
from waiting import eventually

from alibroker.etcd import binary
from alibroker.etcd.client import Etcd
from alibroker.etcd.embedded import Timing
from alibroker.etcd.endpoint import Endpoint

FAST = Timing(heartbeat=20, election=200)
"""For members on one machine. etcd's defaults, and those of real clusters, are 100 and 1000."""


class Cluster:
    """Members `m1`, `m2`, ... in a directory, with a unix socket each for clients.

    Used as a context manager: it is entered when all members answer.
    """

    def __init__(self, directory: Path, *, members: int = 3, timing: Timing = FAST) -> None:
        self.names = [f"m{number}" for number in range(1, members + 1)]
        self._directory = directory
        self._timing = timing
        self._program = binary.find().path
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._links = _Links(self)

    # -- reaching it ----------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[str]:
        """What a client is to be given to reach all members."""
        return [self.endpoint(name) for name in self.names]

    def endpoint(self, name: str) -> str:
        """What a client is to be given to reach one member."""
        return f"unix:{self._directory}/{name}:0"

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The process of a member; the last one, if that has ended."""
        return self._processes[name]

    def owner(self, pid: int) -> str:
        """Name of the member that a process is, "" if it is none."""
        return next((name for name, one in self._processes.items() if one.pid == pid), "")

    def running(self) -> list[str]:
        """Names of the members whose processes have not ended."""
        return [name for name, process in self._processes.items() if process.poll() is None]

    def leader(self, *, timeout: float = 20.0) -> str:
        """Wait until a majority names the same running member as its leader, and return it."""

        def agreed() -> str | None:
            ids: dict[int, str] = {}
            votes: list[int] = []
            for name in self.running():
                with contextlib.suppress(grpc.RpcError), self._channel(name) as channel:
                    status = MaintenanceStub(channel).Status(StatusRequest(), timeout=0.5)
                    ids[status.header.member_id] = name
                    votes.append(status.leader)
            favourite = max(votes, key=votes.count, default=0)
            if 2 * votes.count(favourite) > len(self.names):
                return ids.get(favourite)
            return None

        leader: str = eventually(agreed, timeout)
        return leader

    # -- faults ---------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """End a member with SIGKILL."""
        self._processes[name].kill()
        self._processes[name].wait()

    def stop(self, name: str) -> None:
        """End a member orderly; a leader hands over first."""
        self._processes[name].terminate()
        self._processes[name].wait(timeout=20)

    def pause(self, name: str) -> None:
        """Let a member stand still."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a member that stands still go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def start(self, name: str) -> None:
        """Start a member that has ended, or never was, on its data; does not wait for it."""
        # What was killed leaves its sockets, and etcd refuses to take them over.
        for left in (f"{name}:0", f"{name}-peer:0"):
            (self._directory / left).unlink(missing_ok=True)
        members = ",".join(f"{one}=unix://{one}-link:0" for one in self.names)
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [
                    self._program,
                    f"--name={name}",
                    f"--data-dir={self._directory / name}",
                    f"--listen-client-urls=unix://{name}:0",
                    f"--advertise-client-urls=unix://{name}:0",
                    f"--listen-peer-urls=unix://{name}-peer:0",
                    f"--initial-advertise-peer-urls=unix://{name}-link:0",
                    f"--initial-cluster={members}",
                    f"--heartbeat-interval={self._timing.heartbeat}",
                    f"--election-timeout={self._timing.election}",
                    "--logger=zap",
                    "--log-outputs=stderr",
                ],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def cut_off(self, name: str) -> None:
        """Keep a member and all others apart, while clients go on to reach it."""
        self._links.cut = {
            frozenset((name, other)) for other in self.names if other != name
        } | self._links.cut

    def heal(self) -> None:
        """Let all members go on and reach each other, and start those that have ended."""
        self._links.heal()
        for name in self.names:
            if name in self.running():
                self.resume(name)
            else:
                self.start(name)

    # -- life -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end)
            for name in self.names:
                self._links.listen(
                    name, self._directory / f"{name}-link:0", self._directory / f"{name}-peer:0"
                )
            for name in self.names:
                self.start(name)
            # A new member first asks the others what they know, and waits a second for each that
            # has opened its socket but waits itself; not for one that cannot be reached.
            eventually(lambda: all(map(self._serves_members, self.names)), 60)
            self._links.is_open = True
            for name in self.names:
                with Etcd([self.endpoint(name)]) as client:
                    client.ping(timeout=30)
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._links.stop()

    def _serves_members(self, name: str) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(f"{self._directory}/{name}-peer:0")
            connection.sendall(b"GET /version HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
        return False

    def _channel(self, name: str) -> grpc.Channel:
        # With the client's options: gRPC's own would have it wait seconds before it tries again.
        return Endpoint.parse(self.endpoint(name)).connect(None)


class _Links:
    """A relay before the peer socket of each member."""

    def __init__(self, cluster: Cluster) -> None:
        self.cut: set[frozenset[str]] = set()
        """Pairs of members between which nothing passes, neither old connections nor new ones."""
        self.is_open = False
        """Whether members reach each other at all."""
        self._cluster = cluster
        self._healed = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()

    def listen(self, name: str, at: Path, target: Path) -> None:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            work = self._loop.create_task(self._serve(name, target, reader, writer))
            self._tasks.add(work)
            work.add_done_callback(self._tasks.discard)

        async def begin() -> None:
            self._servers.append(await asyncio.start_unix_server(serve, at))

        self._run(begin())

    def heal(self) -> None:
        async def wake() -> None:
            self.cut = set()
            self._healed.set()
            self._healed = asyncio.Event()

        self._run(wake())

    def stop(self) -> None:
        async def end() -> None:
            self.is_open = False
            self.cut = set()
            self._healed.set()
            # The members have ended, so all connections do. A server that was closed while asyncio
            # accepts a connection would leave that open.
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)
            for server in self._servers:
                server.close()
            await asyncio.sleep(0)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(timeout=10)

    async def _serve(
        self,
        name: str,
        target: Path,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            if not self.is_open:
                return
            answers, far = await asyncio.open_unix_connection(target)
            caller = self._cluster.owner(_pid(writer.get_extra_info("socket")))
            pair = frozenset((name, caller))
            ways = [
                asyncio.ensure_future(self._pass(reader, far, pair)),
                asyncio.ensure_future(self._pass(answers, writer, pair)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            # The member is not there, as a dead machine is not.
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: frozenset[str]
    ) -> None:
        while data := await reader.read(65536):
            while pair in self.cut:
                await self._healed.wait()
            writer.write(data)
            await writer.drain()


def _pid(connection: socket.socket) -> int:
    """Tell which process has made a connection to a unix socket."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("iii", credentials)[0])


@contextmanager
def relayed(cluster: Cluster) -> Iterator[dict[str, Relay]]:
    """Give one client ways of its own to the members, each of which can be broken on request."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(Relay(cluster.endpoint(name))) for name in cluster.names}


def endpoints(relays: dict[str, Relay]) -> Sequence[str]:
    """What the client of these relays is to be given."""
    return [relay.endpoint for relay in relays.values()]
