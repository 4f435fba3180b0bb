"""The surveyor: compares the cloud with the records, on a schedule and when asked."""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future

from msgspec.structs import replace

from alibroker.actors.actor import Actor, Address
from alibroker.actors.calls import INVENTORY_PATIENCE, Call, Calls, Running
from alibroker.actors.messages import Change, Settle, Settled, Settlement, TakeSurvey, Tick
from alibroker.actors.orphans import OrphanActions
from alibroker.actors.quarantine import not_now
from alibroker.actors.settings import EngineSettings, Orphans
from alibroker.actors.surveys import Surveys
from alibroker.brokers.api import Found, Inventory, Json, TryAgainError
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import ContractError, Plugin, checked_found, contained
from alibroker.lifecycle.commands import Learn
from alibroker.lifecycle.findings import ORPHANS, Disagreement, Finding, SurveyReport
from alibroker.lifecycle.missing import Search
from alibroker.lifecycle.records import Key
from alibroker.lifecycle.survey import Survey, settled
from alibroker.lifecycle.view import View

log = logging.getLogger(__name__)

MOST_FOUND = 1_000_000
"""Things in an inventory; one that holds more has no end."""
FIRST_SURVEY = 300.0
"""Seconds after the start until the first survey on schedule, at the most."""


class Surveyor(Actor):
    """Receives `TakeSurvey`, `Settle` and `Tick`; has the dispatcher told what operators decided.

    On failure, and when an inventory does not come back: the next survey begins anew.
    """

    def __init__(
        self,
        address: Address,
        supervisor: Address,
        *,
        calls: Calls,
        catalog: Catalog,
        view: View,
        surveys: Surveys,
        dispatcher: Address,
        settings: EngineSettings,
    ) -> None:
        super().__init__(address, supervisor)
        self._calls = calls
        self._catalog = catalog
        self._view = view
        self._surveys = surveys
        self._dispatcher = dispatcher
        self._orphans = OrphanActions(catalog, dispatcher, self._keep)
        self._settings = settings
        self._next = time.monotonic() + min(settings.survey_interval, FIRST_SURVEY)

    def on_start(self) -> None:
        """Forget the survey in which an earlier life ended."""
        self._surveys.running = False

    def receive(self, message: TakeSurvey | Settle | Settled | Tick) -> None:
        """Take a survey, or carry out what was decided on a finding."""
        match message:
            case Tick():
                ready = self._view.complete and self._view.available
                due = self._settings.survey_interval and time.monotonic() >= self._next
                # One replica does it; an operator may ask any of them.
                if due and ready and self._surveys.is_ours():
                    self._survey()
            case TakeSurvey(asked_at=asked_at):
                # One that was begun after it was asked for may have been asked for by another.
                if self._view.complete and self._surveys.report.taken_at < asked_at:
                    self._survey()
            case Settle():
                self._settle(message)
            case Settled(finding_id=finding_id):
                self._drop(finding_id)

    # -- surveying ------------------------------------------------------------------------------

    def _survey(self) -> None:
        self._surveys.running = True
        self._surveys.refresh()
        report = self._report()
        if self.abandoned:
            return
        self._surveys.keep(report)
        self._surveys.running = False
        self._next = time.monotonic() + self._settings.survey_interval
        if any(one.disagreement is Disagreement.UNSEEN for one in report.findings):
            self._next = min(self._next, time.monotonic() + self._settings.missing_age)
        count = collections.Counter(str(one.disagreement) for one in report.findings)
        told = ", ".join(f"{number} {what}" for what, number in sorted(count.items()))
        seen = sum(report.seen.values())
        level = logging.WARNING if count or report.failures else logging.INFO
        log.log(level, "Survey: %d things in the cloud; %s", seen, told or "all as recorded")
        if self._settings.orphans is Orphans.DELETE:
            self._delete_old(report)

    def _report(self) -> SurveyReport:
        taken_at, earlier = time.time(), self._surveys.report
        before = {one.id: one for one in earlier.findings}
        found: list[Finding] = []
        seen: dict[str, int] = {}
        failures: dict[str, str] = {}
        for plugin in self._catalog.plugins:
            name = plugin.name
            if plugin.inventory is None:
                continue
            try:
                seen[name], fresh = self._survey_of(plugin, plugin.inventory, before, taken_at)
            except TryAgainError as ex:
                failures[name] = ex.reason
            except ContractError:
                log.exception("%s: defect in the inventory", name)
                failures[name] = "A defect; the broker's log says more."
            if name in failures:
                log.warning("%s cannot be surveyed now: %s", name, failures[name])
                fresh = [one for one in earlier.findings if one.broker == name]
            found += [one.carried_on(before.get(one.id)) for one in fresh]
        return SurveyReport(
            taken_at=taken_at,
            seconds=time.time() - taken_at,
            seen=seen,
            failures=failures,
            findings=tuple(found),
        )

    def _survey_of(
        self, plugin: Plugin, inventory: Inventory, earlier: Mapping[str, Finding], now: float
    ) -> tuple[int, list[Finding]]:
        account = self._account_of(plugin)
        before = settled(self._view, self._catalog.services_of(plugin.name))
        found = self._inventory_of(plugin.name, inventory)
        survey = Survey(plugin, self._catalog, self._view, before=before, now=now, account=account)
        findings = contained(lambda: list(survey.compare(found)))
        for key, facts in survey.learned.items():
            self._learn(plugin, key, facts)
        search = Search(
            lambda key: self._exists(plugin.name, inventory, key),
            earlier,
            now=now,
            age=self._settings.missing_age,
        )
        return len(found), list(search.judge(findings))

    def _learn(self, plugin: Plugin, key: Key, facts: Json) -> None:
        """Have a fact added to a record; if that is refused, the next survey has it again."""
        record = self._view.get(key)
        if record is not None:
            command = Learn(
                instance_id=key.instance_id,
                binding_id=key.binding_id,
                service_id=record.service_id,
                plan_id="",
                operation_id=record.operation.id,
                duration=0.0,
                facts=facts,
            )
            self._dispatcher.tell(Change(command, plugin.name, Future()))

    def _account_of(self, plugin: Plugin) -> str:
        """Return the account that the inventory will be of; empty if that means nothing."""
        accounts, call = plugin.accounts, Call(plugin.name, "account")
        if accounts is None:
            return ""
        if self._calls.hanging(call):
            raise TryAgainError("It has not said yet in which account it works.")
        if reason := not_now(self._calls.quarantine.get(call.name)):
            raise TryAgainError(reason)
        account = self._calls.run(call, self.actor_ref, accounts.account)
        if not isinstance(account, str):
            raise ContractError(f"account() returned a {type(account).__name__}")
        return account

    def _exists(self, name: str, inventory: Inventory, key: Key) -> bool:
        call, record = Call(name, "exists"), self._view.get(key)
        if record is None or self._surveys.stopping.is_set() or self._calls.hanging(call):
            raise TryAgainError("A later survey will.")
        if reason := not_now(self._calls.quarantine.get(call.name)):
            raise TryAgainError(reason)
        resource, of_binding = record.resource, bool(key.binding_id)
        there = self._calls.run(
            call, self.actor_ref, lambda: inventory.exists(resource, of_binding=of_binding)
        )
        if not isinstance(there, bool):
            raise ContractError(f"exists() returned a {type(there).__name__}")
        return there

    def _inventory_of(self, name: str, inventory: Inventory) -> list[Found]:
        call = Call(name, "inventory")
        if self._calls.hanging(call):
            raise TryAgainError("The inventory before has not come back yet.")
        if reason := not_now(self._calls.quarantine.get(call.name)):
            raise TryAgainError(reason)
        found: list[Found] = []

        def take(running: Running) -> None:
            for one in inventory.inventory():
                if self._surveys.stopping.is_set():
                    raise TryAgainError("The broker is stopping.")
                found.append(checked_found(one))
                running.touch()
                if len(found) > MOST_FOUND:
                    raise ContractError(f"the inventory holds more than {MOST_FOUND} things")

        with self._calls.entered(call, self.actor_ref, INVENTORY_PATIENCE) as running:
            contained(lambda: take(running))
        return found

    # -- settling -------------------------------------------------------------------------------

    def _settle(self, settle: Settle) -> None:
        identity = settle.finding_id
        self._surveys.refresh()
        findings = self._surveys.report.findings
        finding = next((one for one in findings if one.id == identity), None)
        self._orphans.settle(settle, finding, lambda: self.address.tell(Settled(identity)))

    def _keep(self, plugin: Plugin, found: Found) -> None:
        if plugin.inventory is not None:
            keep = plugin.inventory.keep
            self._calls.run(Call(plugin.name, "keep"), self.actor_ref, lambda: keep(found))

    def _drop(self, finding_id: str) -> None:
        report = self._surveys.report
        left = tuple(one for one in report.findings if one.id != finding_id)
        self._surveys.keep(replace(report, findings=left))

    def _delete_old(self, report: SurveyReport) -> None:
        """Delete orphans that have been seen long enough, unless it looks as if records are lost.

        A store that was wiped or replaced makes an orphan of everything.
        """
        orphans = [one for one in report.findings if one.disagreement in ORPHANS]
        records = len(self._view.keys())
        if len(orphans) > records:
            log.error(
                "%d orphans and %d records: this looks like a lost store, nothing is deleted",
                len(orphans),
                records,
            )
            return
        for one in orphans:
            if report.taken_at - one.since >= self._settings.orphan_age:
                log.warning("Deleting the orphan %s %s (%s)", one.kind, one.name, one.disagreement)
                self._settle(Settle(one.id, Settlement.DELETE, Future()))
