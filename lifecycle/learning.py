"""What a record learns of its thing because a survey has seen it.

Pure, as `lifecycle`. Records that were made before they said in which account their thing is would
otherwise not know it until somebody changes the instance.
"""

from __future__ import annotations

from msgspec.structs import replace

from alibroker.lifecycle.commands import Answer, Decision, Learn, Verdict
from alibroker.lifecycle.records import Record, noted


def learn(record: Record | None, command: Learn, now: float) -> Decision:
    """Decide what to add to a record: nothing, if it is not as it was when its thing was seen."""
    if (
        record is None
        or record.operation.id != command.operation_id
        or record.operation.in_progress
        or not record.holds_something
        or command.facts.keys() & record.resource.keys()
    ):
        return Decision(Answer(Verdict.DONE))
    learned = replace(record, resource={**record.resource, **command.facts})
    what = ", ".join(f"{fact} {value}" for fact, value in command.facts.items())
    learned = noted(learned, now, f"seen in the cloud: {what}")
    return Decision(Answer(Verdict.DONE, record=learned), learned)
