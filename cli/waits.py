"""Waits that tell that they are waits: what for at once, and how long already every few seconds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import click

BEAT = 3.0  # seconds of silence at the most


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Say what is being waited for, and every few seconds that it still is."""
    click.echo(f"{what} ...")
    over = threading.Event()
    thread = threading.Thread(target=_tell, args=(over, time.monotonic()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _tell(over: threading.Event, began: float) -> None:
    while not over.wait(BEAT):
        click.echo(f"  {time.monotonic() - began:3.0f} s")
