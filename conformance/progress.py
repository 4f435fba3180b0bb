"""Says what lasts: a run that is silent for minutes looks like one that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

Say = Callable[[str], None]

SLOW = 5.0
"""Seconds after which something is said to last; then after twice as long, and so on."""
MAX_SILENCE: Final = 60.0


class Progress:
    """Tells people what is under way, and how long it has been if that is long."""

    def __init__(self, say: Say, latest: Callable[[], str] = lambda: "") -> None:
        """Take what shows a line, and what knows the broker's latest words: for any thread."""
        self.say = say
        self._latest = latest

    @contextmanager
    def over(self, what: str) -> Iterator[None]:
        """Say so now and then if the block lasts."""
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(what, over), daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _watch(self, what: str, over: threading.Event) -> None:
        started, pause = time.monotonic(), SLOW
        while not over.wait(pause):
            pause = min(2 * pause, MAX_SILENCE)
            words = self._latest()
            said = f"; the broker says: {words}" if words else ""
            self.say(f"  {what}: {time.monotonic() - started:.0f} s so far{said}")
