"""Runs checks in their order, and never leaves without cleaning up."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from alibroker.conformance.checks import (
    Check,
    Level,
    NotApplicableError,
    Problem,
    Remark,
    Stage,
)
from alibroker.conformance.cleanup import clean_up
from alibroker.conformance.offers import Offer
from alibroker.conformance.progress import Progress, Say
from alibroker.conformance.results import Outcome, Report, Result
from alibroker.conformance.session import Session
from alibroker.conformance.subject import Subject
from alibroker.conformance.walk import STEPS, CannotError, Step, closure


class _StopError(Exception):
    """A check failed, and the run was to end at the first failure."""


class Runner:
    """One run against one broker."""

    def __init__(
        self, session: Session, checks: Sequence[Check], selected: Collection[str]
    ) -> None:
        """Take all checks, and the names of those that are to be run."""
        self._session = session
        self._checks = checks
        self._selected = selected
        self._results: list[Result] = []
        self._progress = Progress(lambda _: None)
        self._why_not = "not selected"

    def run(self, say: Say = lambda _: None) -> Report:
        """Run the checks and return what came of them.

        Ctrl-C ends the run, not the clean-up; the report then says that it is not complete.
        """
        started_at, started = time.time(), time.monotonic()
        self._progress = Progress(say, self._session.latest)
        interrupted = False
        try:
            self._run_all(say)
        except KeyboardInterrupt:
            interrupted = True
            self._why_not = "interrupted"
            say("Interrupted: cleaning up")
        except _StopError:
            self._why_not = "an earlier check failed"
        finally:
            with self._progress.over("cleaning up"):
                left = clean_up(self._session, say)
        self._add_skipped()
        offers = [subject.offer for subject in self._session.subjects]
        return Report(
            self._results, offers, left, interrupted, started_at, time.monotonic() - started
        )

    def _run_all(self, say: Say) -> None:
        for stage in (Stage.CATALOG, Stage.REQUESTS):
            say(f"Checks of the {stage}")
            self._run_stage(stage, None)
        for subject in self._session.subjects:
            self._session.subject = subject
            self._walk(subject, say)
            self._session.subject = None
        self._run_stage(Stage.AUDIT, None)

    def _walk(self, subject: Subject, say: Say) -> None:
        """Go through the stages of a plan that have checks, or lead to some that have."""
        unreachable: dict[Stage, str] = {}
        for stage in closure(self._stages()):
            step = STEPS[stage]
            if why_not := step.why_not(subject.offer, self._session.offers):
                self._excuse(stage, subject, Outcome.NOT_APPLICABLE, why_not)
                continue
            say(f"{subject.offer.label}: {stage}")
            reason = unreachable.get(step.needs, "") if step.needs else ""
            reason = reason or self._enter(step)
            if reason:
                unreachable[stage] = reason
                self._excuse(stage, subject, Outcome.SKIPPED, reason)
                self._leave(step)
                continue
            self._run_stage(stage, subject)
            self._leave(step)

    def _enter(self, step: Step) -> str:
        """Enter a stage; returns why that is not possible, if so."""
        try:
            with self._progress.over("not there yet"):
                step.enter(self._session)
        except CannotError as ex:
            return str(ex)
        return ""

    def _leave(self, step: Step) -> None:
        with self._progress.over("clearing away"):
            step.leave(self._session)

    def _stages(self) -> set[Stage]:
        return {
            check.stage
            for check in self._checks
            if check.stage.per_plan and check.name in self._selected and self._is_due(check)
        }

    def _run_stage(self, stage: Stage, subject: Subject | None) -> None:
        offer = subject.offer if subject else None
        for check in self._of(stage):
            result = self._run_check(check, offer)
            self._results.append(result)
            fatal = result.outcome is Outcome.FAIL and check.level is Level.MUST
            if fatal and self._session.settings.failfast:
                raise _StopError

    def _of(self, stage: Stage) -> list[Check]:
        return [one for one in self._checks if one.stage is stage and one.name in self._selected]

    def _run_check(self, check: Check, offer: Offer | None) -> Result:
        if not self._is_due(check):
            return _not_due(check, offer)
        try:
            with self._progress.over(check.name):
                found = list(check.run(self._session))
        except NotApplicableError as ex:
            return Result(check, offer, Outcome.NOT_APPLICABLE, remarks=(str(ex),))
        problems = tuple(one for one in found if isinstance(one, Problem))
        remarks = tuple(one.text for one in found if isinstance(one, Remark))
        outcome = Outcome.FAIL if problems else Outcome.PASS
        return Result(check, offer, outcome, problems, remarks)

    def _is_due(self, check: Check) -> bool:
        return self._session.settings.version >= check.since

    def _excuse(self, stage: Stage, subject: Subject, outcome: Outcome, why: str) -> None:
        self._results += [
            Result(check, subject.offer, outcome, remarks=(why,)) for check in self._of(stage)
        ]

    def _add_skipped(self) -> None:
        """Add a result for what was not run, so that a report always has all checks."""
        done = {(one.check.name, one.offer.plan_id if one.offer else "") for one in self._results}
        for check in self._checks:
            why = self._why_not if check.name in self._selected else "not selected"
            walks: list[Offer | None] = [subject.offer for subject in self._session.subjects]
            for offer in (walks if check.stage.per_plan else []) or [None]:
                if (check.name, offer.plan_id if offer else "") in done:
                    continue
                if check.name in self._selected and not self._is_due(check):
                    # Its stage may have been left out for that.
                    self._results.append(_not_due(check, offer))
                else:
                    self._results.append(Result(check, offer, Outcome.SKIPPED, remarks=(why,)))


def _not_due(check: Check, offer: Offer | None) -> Result:
    since = f"since {check.since[0]}.{check.since[1]}"
    return Result(check, offer, Outcome.NOT_APPLICABLE, remarks=(since,))
