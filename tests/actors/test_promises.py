"""What holds while the cloud hangs: reads go on (I8), and what waits is bounded (I9)."""

from __future__ import annotations

from typing import Any

from commands import ask, common, ended, provision
from drawers import Drawer
from waiting import eventually

from alibroker.actors.system import BrokerSystem
from alibroker.lifecycle.commands import Bind, Verdict


def test_reads_never_wait_for_the_cloud(system: BrokerSystem, drawer: Drawer) -> None:
    """Cites I8: every worker hangs in a cloud call, and all that is known is still told."""
    ask(system, provision("old"))
    ended(system, "old")
    drawer.hold.clear()
    stuck = [f"stuck-{number}" for number in range(system.settings.workers + 1)]
    for name in stuck:
        assert ask(system, provision(name)).verdict is Verdict.STARTED
    eventually(lambda: len(drawer.things) == 1 + system.settings.workers)
    assert system.view.instance("old").status == "ready"  # type: ignore[union-attr]
    assert system.view.instance("nobody") is None
    for name in stuck:
        assert system.view.instance(name).status == "creating"  # type: ignore[union-attr]
    # And a change that needs no cloud call to be accepted is accepted.
    binding = Bind(binding_id="b", **common("old"))
    assert ask(system, binding).verdict is Verdict.STARTED
    assert not drawer.hold.is_set()
    drawer.hold.set()
    for name in stuck:
        assert ended(system, name).status == "ready"


def test_what_waits_for_an_end_is_bounded(make_system: Any, drawer: Drawer) -> None:
    """Cites I9: synchronous requests pile up behind a cloud that hangs, but only so many."""
    system = make_system(max_changes=5)
    drawer.hold.clear()
    waiting = [
        system.submit(provision(f"sync-{number}", accepts_incomplete=False)) for number in range(5)
    ]
    eventually(lambda: len(system.view.running()) == 5)
    refused = ask(system, provision("one-too-many"))
    assert refused.verdict is Verdict.FULL
    assert system.view.instance("one-too-many") is None
    drawer.hold.set()
    assert {reply.result(timeout=20).verdict for reply in waiting} == {Verdict.ENDED}
    # Who was refused finds room as soon as there is some.
    assert ask(system, provision("one-too-many")).verdict is Verdict.STARTED
