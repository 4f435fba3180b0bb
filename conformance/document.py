"""The report for programs. Its form is described in docs/conformance.md; changes raise FORMAT."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from alibroker.conformance.checks import Level
from alibroker.conformance.masking import Masker
from alibroker.conformance.results import Outcome, Report, Result
from alibroker.conformance.settings import Settings

FORMAT: Final = 1


def as_document(
    report: Report, settings: Settings, masker: Masker, *, strict: bool
) -> dict[str, Any]:
    """Return the report as JSON."""
    return {
        "format": FORMAT,
        "url": settings.url,
        "api_version": settings.version_text,
        "started_at": datetime.fromtimestamp(report.started_at, UTC).isoformat(),
        "seconds": round(report.seconds, 3),
        "interrupted": report.interrupted,
        "conformant": report.conformant(strict=strict),
        "plans": [
            {
                "service": str(offer.service.get("name", "")),
                "plan": str(offer.plan.get("name", "")),
                **offer.ids,
            }
            for offer in report.offers
        ],
        "summary": {
            level.lower(): {
                outcome.replace(" ", "_"): sum(
                    one.check.level is level and one.outcome is outcome for one in report.results
                )
                for outcome in Outcome
            }
            for level in Level
        },
        "results": [_result(one, masker) for one in report.results],
        "left_behind": [
            {
                "kind": left.entry.kind,
                "instance_id": left.entry.instance,
                "binding_id": left.entry.binding or None,
                "service_id": left.entry.service_id,
                "plan_id": left.entry.plan_id,
                "reason": left.reason,
            }
            for left in report.left_behind
        ],
    }


def _result(result: Result, masker: Masker) -> dict[str, Any]:
    check, offer = result.check, result.offer
    return {
        "check": check.name,
        "rules": list(check.rules),
        "level": str(check.level),
        "since": f"{check.since[0]}.{check.since[1]}",
        "theme": check.theme,
        "title": check.title,
        "service": str(offer.service.get("name", "")) if offer else None,
        "plan": str(offer.plan.get("name", "")) if offer else None,
        "result": str(result.outcome),
        "remarks": [masker.text(remark) for remark in result.remarks],
        "problems": [
            {
                "text": masker.text(problem.text),
                "exchanges": [masker.shown(exchange) for exchange in problem.exchanges],
            }
            for problem in result.problems
        ],
    }
