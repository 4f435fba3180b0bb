"""Runs a command that takes a while, and tells that it does: `step.py TITLE COMMAND...`.

The title comes at once, then every few seconds the last line that the command wrote; all that it
wrote comes only if it fails. Its exit code is that of the command.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping

BEAT = 3.0  # seconds of silence at the most
WIDTH = 76


class StepError(Exception):
    """A command failed.

    Attributes:
        code: its exit code.
        output: all that it wrote.
    """

    def __init__(self, code: int, output: str) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.output = output


def run(title: str, command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a command to its end, and return what it wrote.

    Raises:
        StepError: It failed.
        OSError: There is no such program.
    """
    say(f"{title} ...")
    began = time.monotonic()
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        lines: list[str] = []
        reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
        reader.start()
        while True:
            try:
                process.wait(BEAT)
            except subprocess.TimeoutExpired:
                say(f"  {time.monotonic() - began:3.0f} s  {lines[-1] if lines else ''}"[:WIDTH])
            else:
                break
        reader.join()
    output = "".join(f"{line}\n" for line in lines)
    if process.returncode:
        raise StepError(process.returncode, output)
    return output


def say(text: str) -> None:
    """Write a line that is seen at once."""
    print(text.rstrip(), flush=True)


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    for line in process.stdout or ():
        if line.strip():
            lines.append(line.strip())  # noqa: PERF401 - what is shown as it comes


def main() -> int:
    """Run the command of the arguments; return its exit code."""
    title, *command = sys.argv[1:]
    try:
        run(title, command)
    except StepError as ex:
        sys.stderr.write(ex.output)
        return ex.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
