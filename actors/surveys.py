"""The last survey, as everybody may read it, by way of whichever replica."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from alibroker.etcd import keys
from alibroker.etcd.client import MAX_BYTES, Committed, Entry, Etcd
from alibroker.etcd.errors import EtcdError
from alibroker.etcd.sealing import Sealer, SealError
from alibroker.lifecycle.findings import SurveyReport

log = logging.getLogger(__name__)

_TRIES: Final = 3
"""Attempts to store a report that others store as well."""


class Surveys:
    """What the last survey found; the surveyor alone changes it.

    It lies in etcd, for a survey takes minutes, and whoever asked for it may be led to another
    replica for what came of it. So it also outlives this process, and with it since when a finding
    has been there.
    """

    def __init__(
        self, etcd: Etcd, sealer: Sealer, timeout: float, is_ours: Callable[[], bool]
    ) -> None:
        """Take where it lies, and what says whether surveys are this replica's to take."""
        self._etcd = etcd
        self._sealer = sealer
        self._timeout = timeout
        self._revision = 0
        self._lock = threading.Lock()
        self.is_ours = is_ours
        self.report = SurveyReport()
        self.running = False
        """Whether this replica takes one."""
        self.stopping = threading.Event()
        """Set by whoever wants a survey that is being taken to be broken off."""

    def refresh(self) -> None:
        """See what another replica has found since. Without etcd all stays as it was."""
        with self._lock:
            try:
                self._read()
            except EtcdError as ex:
                log.info("Whether another replica has surveyed cannot be seen: %s", ex)

    def keep(self, report: SurveyReport) -> None:
        """Put a report in the place of the last one."""
        with self._lock:
            try:
                self._write(report)
            except EtcdError as ex:
                log.info("Other replicas do not see what was surveyed: %s", ex)
            self.report = report

    def _write(self, report: SurveyReport) -> None:
        packed = gzip.compress(msgspec.json.encode(report))
        value = self._sealer.seal(packed, keys.SURVEY).encode()
        if len(value) > MAX_BYTES:
            log.warning("The survey has too many findings to be stored: ask this replica")
            return
        for _ in range(_TRIES):
            entry = Entry(keys.SURVEY, value, self._revision)
            (outcome,) = self._etcd.commit([entry], timeout=self._timeout)
            if isinstance(outcome, Committed):
                self._revision = outcome.revision
                return
            self._revision = outcome.current.revision if outcome.current else 0

    def _read(self) -> None:
        (found,) = self._etcd.read([keys.SURVEY], timeout=self._timeout)
        if found is None or found.revision == self._revision:
            return
        self._revision = found.revision
        try:
            packed = self._sealer.open(found.value.decode(), keys.SURVEY)
            self.report = msgspec.json.decode(gzip.decompress(packed), type=SurveyReport)
        except (SealError, msgspec.MsgspecError, UnicodeDecodeError, OSError, EOFError) as ex:
            log.error("%s cannot be read, and is written anew: %s", keys.SURVEY, ex)  # noqa: TRY400
