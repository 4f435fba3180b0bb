"""What ran in plugins when a process died: kept beside the data, and handled with care afterwards.

A step that ends its process (`abort`, a crash in native code, all memory used up) is resumed by the
next one, and ends that as well. Each process therefore notes which calls are under way in a file
that the next one finds. What was under way in a process that died without an orderly end is a
*suspect*: it runs later and later, and after `MOST_DEATHS` it is not tried any more.

The note is a write to the page cache: it survives the process, not the machine, whose death is
nobody's fault.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from alibroker.brokers.contract import ContractError, Plugin

log = logging.getLogger(__name__)

MOST_DEATHS: Final = 4
"""Deaths of the process after which what ran in each of them is given up."""
FIRST_PAUSE: Final = 0.2
GROWTH: Final = 8.0
LONGEST_PAUSE: Final = 3600.0
"""Seconds that a suspect waits before it runs again: the first, times `GROWTH` for each death more,
at the most."""

_SLOT: Final = 8192
"""Bytes for the note of one call: twice 512 characters of four bytes, and what is around them."""


class Suspect(NamedTuple):
    """What is held against a call."""

    deaths: int
    last: float
    """Unix time in seconds at which the last one was found."""

    @property
    def ready_at(self) -> float:
        """The Unix time before which it does not run."""
        exponent = min(self.deaths - 1, 8)
        return self.last + min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH**exponent)


class Quarantine:
    """The notes of this process, and what those of dead ones say. Used by all threads at once."""

    def __init__(self, directory: Path) -> None:
        """Take the directory for the notes; without one that can be written nothing is noted."""
        self._directory = directory
        self._known = directory / "suspects.json"
        self._path = directory / f"{os.getpid()}-{uuid.uuid4().hex}.notes"
        self._suspects: dict[str, Suspect] = {}
        self._slots = itertools.count()
        self._free: list[int] = []
        self._file = -1
        self._unwritable = False
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                self._learn()
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            log.warning(
                "%s cannot be written, a step that kills goes unnoticed: %s", directory, error
            )

    def suspects(self) -> dict[str, Suspect]:
        """Return what is held against whom, by name."""
        return dict(self._suspects)

    def get(self, name: str) -> Suspect | None:
        """Return what is held against the call of this name, if anything is."""
        return self._suspects.get(name)

    @contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Note that a call is under way until the block ends.

        Nothing is held against it any more if it ends well. One that raises has not got past the
        place where the process died.
        """
        if self._file < 0:
            yield
            return
        try:
            slot = self._free.pop()
        except IndexError:
            slot = next(self._slots)
        self._write(slot, msgspec.json.encode(name)[: _SLOT - 1] + b"\n")
        try:
            yield
        finally:
            self._forget(slot)
        if name in self._suspects:
            self._clear(name)

    def load(self, name: str, load: Callable[[], Plugin]) -> Plugin:
        """Have a plugin loaded, unless that ended the process again and again.

        Raises:
            ContractError: It did so `MOST_DEATHS` times, and the last time is not long ago; or as
                `load` does.
        """
        call = f"{name}: load"
        suspect = self.get(call)
        many = suspect is not None and suspect.deaths >= MOST_DEATHS
        if suspect is not None and many and time.time() < suspect.last + LONGEST_PAUSE:
            raise ContractError(
                f"the process died {suspect.deaths} times while it was loaded; it is tried again "
                f"at a start {LONGEST_PAUSE / 60:.0f} minutes after the last time"
            )
        with self.noted(call):
            return load()

    def close(self) -> None:
        """End in good order: what is still under way now is no suspect."""
        if self._file >= 0:
            file, self._file = self._file, -1
            self._path.unlink(missing_ok=True)
            os.close(file)

    def _forget(self, slot: int) -> None:
        if self._file >= 0:
            self._write(slot, b"\0")
            self._free.append(slot)

    def _write(self, slot: int, line: bytes) -> None:
        try:
            os.pwrite(self._file, line, slot * _SLOT)
        except OSError as error:
            # A full disk, with which everything else has to go on.
            if not self._unwritable:
                log.warning("%s: a step that kills goes unnoticed: %s", self._path, error)
            self._unwritable = True
        else:
            self._unwritable = False

    def _clear(self, name: str) -> None:
        log.info("%s has come back: nothing is held against it any more", name)
        with suppress(OSError), self._locked():
            self._suspects.pop(name, None)
            self._save(self._read() | {name: None})

    # -- learning from the dead -----------------------------------------------------------------

    def _learn(self) -> None:
        """Take in what the notes of dead processes say, and remove them."""
        known = {name: one for name, one in self._read().items() if one is not None}
        now = time.time()
        for path in self._directory.glob("*.notes"):
            names = _left_by_the_dead(path)
            if names is None:
                continue
            # One that was suspected before is more likely to have done it than who ran beside it.
            for name in sorted(names & known.keys() or names):
                deaths = known[name].deaths + 1 if name in known else 1
                known[name] = Suspect(deaths, now)
                log.error("A process died while this ran, for the %d. time: %s", deaths, name)
            path.unlink(missing_ok=True)
        self._suspects = known
        self._save(known)

    def _read(self) -> dict[str, Suspect | None]:
        try:
            return dict(msgspec.json.decode(self._known.read_bytes(), type=dict[str, Suspect]))
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, OSError) as error:
            log.warning("%s is ignored: %s", self._known, error)
            return {}

    def _save(self, known: dict[str, Suspect | None] | dict[str, Suspect]) -> None:
        kept = {name: one for name, one in known.items() if one is not None}
        fresh = self._known.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(kept))
        fresh.replace(self._known)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def not_now(suspect: Suspect | None) -> str:
    """Say why a suspect is not called now; empty if it is."""
    if suspect is None or suspect.ready_at <= time.time():
        return ""
    return f"The broker's process died {suspect.deaths} times in it: it waits before the next time."


def _left_by_the_dead(path: Path) -> set[str] | None:
    """Return what was under way in the process that wrote the notes; None while it lives."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        names = set()
        for slot in iter(lambda: file.read(_SLOT), b""):
            line = slot.partition(b"\n")[0]
            if line and line[0]:
                with suppress(msgspec.DecodeError):
                    names.add(msgspec.json.decode(line, type=str))
        return names
