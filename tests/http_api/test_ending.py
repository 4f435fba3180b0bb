"""A process that has decided to end does so, with an honest exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

ORDERLY = """
import signal
from alibroker.http import ending
signal.signal(signal.SIGTERM, lambda *_: None)
ending.end_process("it has failed")
ending.{decision}("it has failed")
ending.exit_worker()
"""
HANGING = """
import signal, time
from alibroker.http import ending
ending.PATIENCE = 0.1
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ending.{decision}("it has failed")
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [ORDERLY, HANGING], ids=["orderly", "hanging"])
@pytest.mark.parametrize(("decision", "code"), [("end_process", 1), ("end_broker", 3)])
def test_an_end_is_bounded_and_never_a_success(how: str, decision: str, code: int) -> None:
    program = how.format(decision=decision)
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == code
    assert b"it has failed" in done.stderr


def test_without_a_decision_the_end_is_a_success() -> None:
    program = "from alibroker.http import ending; ending.exit_worker()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
