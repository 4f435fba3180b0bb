"""What is done about an orphan: it is adopted, kept or deleted."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from concurrent.futures import Future

from alibroker.actors.actor import Address
from alibroker.actors.messages import Change, Settle, Settlement, resolve
from alibroker.brokers.api import NOTHING, Found, Json, TryAgainError
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import ContractError, Plugin
from alibroker.lifecycle.commands import Adopt, Answer, Verdict
from alibroker.lifecycle.findings import ORPHANS, Disagreement, Finding
from alibroker.lifecycle.records import Key
from alibroker.lifecycle.survey import is_of

log = logging.getLogger(__name__)

DURATION = 3600.0
"""Seconds that the deletion of something gets whose plan is not known."""
_UNNAMED = "Its marks do not say which instance and plan it is of: it can only be deleted."
_DOUBLE = (
    "The record of the instance or binding that it was created for names another, and no other "
    "instance can have it: delete whichever of the two is not in use."
)


class OrphanActions:
    """Carries out what operators decided, by the way that every change goes."""

    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Address,
        keep: Callable[[Plugin, Found], None],
    ) -> None:
        """Take what calls a plugin's `keep`, contained."""
        self._plugins = {plugin.name: plugin for plugin in catalog.plugins}
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._keep_in_cloud = keep

    def settle(self, settle: Settle, finding: Finding | None, settled: Callable[[], None]) -> None:
        """Do it and resolve the reply; call `settled`, from any thread, if the finding is no more.

        Whatever is adopted or deleted has its record first, so no crash makes it an orphan again.
        """
        answer: Answer | None
        if finding is None:
            answer = Answer(Verdict.UNKNOWN, "There is no such finding (any more): survey again.")
        elif finding.found is None or finding.disagreement not in ORPHANS:
            text = f"It is {finding.disagreement}: only what exists without a record is settled."
            if finding.disagreement is Disagreement.OTHER_ACCOUNT:
                text = finding.description
            answer = Answer(Verdict.UNSUPPORTED, text)
        elif wrong := _name_fault(settle, finding.found):
            answer = Answer(Verdict.UNSUPPORTED, wrong)
        elif settle.settlement is Settlement.KEEP:
            answer = self._keep(finding, finding.found)
        else:
            answer = self._adopt(settle, finding, finding.found)

        def look(reply: Future[Answer]) -> None:
            if reply.result().verdict in (Verdict.STARTED, Verdict.DONE):
                settled()

        settle.reply.add_done_callback(look)
        if answer is not None:
            resolve(settle.reply, answer)

    def _keep(self, finding: Finding, found: Found) -> Answer:
        plugin = self._plugins[finding.broker]
        if found.binding_id or not found.main or plugin.inventory is None:
            return Answer(Verdict.UNSUPPORTED, f"A {found.kind} is adopted or deleted, not kept.")
        try:
            self._keep_in_cloud(plugin, found)
        except TryAgainError as ex:
            return Answer(Verdict.UNAVAILABLE, ex.reason)
        except ContractError:
            log.exception("%s: defect in keep", plugin.name)
            return Answer(Verdict.ERROR)
        return Answer(Verdict.DONE, "It carries a mark now and is not reported any more.")

    def _adopt(self, settle: Settle, finding: Finding, found: Found) -> Answer | None:
        """Send the command on its way; returns an answer if there is nothing to send."""
        delete = settle.settlement is Settlement.DELETE
        plan = self._catalog.plan(found.service_id, found.plan_id)
        # What is double cannot have the id whose record names another.
        double = finding.disagreement is Disagreement.DOUBLE
        instance_id = "" if double else finding.key.instance_id or settle.instance_id
        if not delete and not found.main:
            return Answer(Verdict.UNSUPPORTED, f"Of a lone {found.kind} nothing can be made.")
        if not delete and double:
            return Answer(Verdict.UNSUPPORTED, _DOUBLE)
        if not delete and not (plan and instance_id):
            return Answer(Verdict.UNSUPPORTED, _UNNAMED)
        services = self._catalog.services_of(finding.broker)
        command = Adopt(
            instance_id=instance_id or f"orphan-{finding.id}",
            binding_id=finding.key.binding_id,
            service_id=found.service_id if found.service_id in services else min(services),
            plan_id=found.plan_id,
            operation_id=uuid.uuid4().hex,
            duration=float(plan.maximum_polling_duration) if plan else DURATION,
            accepts_incomplete=True,
            requested_by="operator",
            organization_guid=found.organization_guid,
            space_guid=found.space_guid,
            resource=found.resource,
            parameters={**found.parameters, **settle.parameters},
            within=_within(self._plugins[finding.broker], found),
            marked=bool(found.instance_id),
            delete=delete,
        )
        self._dispatcher.tell(Change(command, finding.broker, settle.reply))
        return None


def _name_fault(settle: Settle, found: Found) -> str:
    """Say why something cannot have the name that an operator gives it; empty if it can.

    Its marks have the last word: whoever reads them later, be it after the loss of the store,
    would take it for the other's.
    """
    given = settle.instance_id
    if not given:
        return ""
    if settle.settlement is not Settlement.ADOPT:
        return "An instance id goes with an adoption only."
    if found.binding_id and not found.instance_id:
        return f"Its marks do not say which binding it is of: a {found.kind} can only be deleted."
    if found.instance_id and given != found.instance_id:
        return f"Its marks say that it is of {found.instance_id}: give no instance id, or this one."
    if not is_of(found, Key(given)):
        return "Its marks say that it is of another instance, though not of which."
    return ""


def _within(plugin: Plugin, found: Found) -> Json:
    name = found.resource.get(plugin.instance_fact) if found.binding_id else None
    return {plugin.instance_fact: name} if name else NOTHING
