"""A laboratory from its first life to its audit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from audit import audit, stored_records
from fate import Fate
from laboratory import Laboratory
from linearizability import check
from world import World


def survive(
    fate: Fate,
    *,
    crashes: int,
    operations: int,
    at_once: int,
    report_every: int = 20,
    say: Callable[[str], None] = print,
) -> None:
    """Let fate hurt a world in which lives go on, find nothing wrong in the end, and stop it."""
    world = fate.world
    try:
        quotas = {"bucket_quota": 100_000, "user_quota": 100_000, "policy_quota": 100_000}
        world.sandbox.control("PUT", "settings", quotas)
        laboratory = Laboratory(fate, say)
        try:
            laboratory.run(
                crashes=crashes, operations=operations, at_once=at_once, report_every=report_every
            )
        except BaseException:
            # What a life cannot go on after is mostly an answer that says more than that.
            say(laboratory.progress())
            for violation in check(laboratory.history):
                say(str(violation))
            for line in _under_way(world):
                say(line)
            raise
        found = audit(laboratory)
        say(found.text())
        assert found.findings == [], f"seed {fate.seed}"
        assert world.survey() == [], "the broker finds what the audit does not"
    finally:
        # A call that hangs longer than this test lasts is nobody's concern any more.
        world.sandbox.process.kill()
        world.stop()


def _under_way(world: World) -> Iterator[str]:
    """Yield what is known of the operations that have not ended."""
    for record in stored_records(world)[0].values():
        operation = record.operation
        if operation.in_progress:
            yield (
                f"{record.key}: {operation.kind}, step {operation.step}, try {operation.tries}, "
                f"due in {operation.due_at - time.time():.1f} s, in the hands of "
                f"{operation.replica or 'nobody'}: {operation.description}"
            )


def any_seed() -> int:
    """Return a seed for a run that nobody has seen."""
    return random.randrange(2**32)  # noqa: S311 - not a secret
