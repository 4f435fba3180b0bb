"""Give the space that an embedded etcd no longer needs back, while nobody waits for it."""

import contextlib
import fcntl
import logging
from pathlib import Path
from typing import Final

from alibroker.etcd import gateway

_log = logging.getLogger(__name__)

# Below this size of the file nobody gains from a defragmentation.
_WORTHWHILE_BYTES: Final = 64 * 2**20

_TIMEOUT: Final = 60.0  # seconds; compacting and defragmenting 500 MB takes under 10


def reclaim(socket: Path) -> None:
    """Defragment if half of the database file is empty, and lift the alarm of a full store.

    etcd compacts by itself, but its file never shrinks, and a NOSPACE alarm stays until somebody
    takes it back, however much space there is again. Of several processes that come to it at once
    one does it, for etcd answers nobody meanwhile.

    Raises:
        GatewayError: etcd does not answer.
    """
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(socket.with_name("reclaiming").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("Another process gives back the space of etcd")
            return
        except OSError as error:  # of a full disk, most of all
            _log.debug("Whether another process gives back space is not known: %s", error)
        _reclaim(socket)


def _reclaim(socket: Path) -> None:
    status = gateway.call(socket, "maintenance/status", {}, timeout=_TIMEOUT)
    alarms = gateway.call(socket, "maintenance/alarm", {"action": "GET"}, timeout=_TIMEOUT)
    full = [one for one in alarms.get("alarms", []) if one.get("alarm") == "NOSPACE"]
    if full:
        revision = status["header"]["revision"]
        try:
            body = {"revision": revision, "physical": True}
            gateway.call(socket, "kv/compaction", body, timeout=_TIMEOUT)
        except gateway.GatewayError as error:
            # Compacted up to there before; what is left to do is the same.
            if "compacted" not in str(error):
                raise
    size = int(status.get("dbSize", 0))
    used = int(status.get("dbSizeInUse", size))
    if full or (size > _WORTHWHILE_BYTES and used < size // 2):
        gateway.call(socket, "maintenance/defragment", {}, timeout=_TIMEOUT)
        status = gateway.call(socket, "maintenance/status", {}, timeout=_TIMEOUT)
        _log.info("etcd's database shrank from %d to %s bytes", size, status.get("dbSize"))
    for alarm in full:
        # etcd does nothing, and says nothing, about an alarm of member 0.
        body = {"action": "DEACTIVATE", "memberID": alarm["memberID"], "alarm": "NOSPACE"}
        gateway.call(socket, "maintenance/alarm", body, timeout=_TIMEOUT)
