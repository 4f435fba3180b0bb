"""What operators see and do: what exists in the cloud without a record, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import falcon
import falcon.asgi
import msgspec

from alibroker.actors.messages import Settlement
from alibroker.actors.system import BrokerSystem
from alibroker.brokers.api import NOTHING
from alibroker.http.answers import REFUSALS, RETRY_AFTER, send
from alibroker.http.authentication import operators_only
from alibroker.http.bodies import Object, Text, read_body
from alibroker.http.errors import OsbError
from alibroker.http.settings import EdgeSettings
from alibroker.lifecycle.findings import Finding


class FindingBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about a finding."""

    action: Settlement
    instance_id: Text | None = None
    """What it is to be adopted as, where its marks do not say."""
    parameters: Object | None = None
    """Replace those that it seems to have been created with."""


@falcon.before(operators_only)
class SurveyResource:
    """`/operator/survey`."""

    def __init__(self, system: BrokerSystem) -> None:
        self._system = system

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Fetch what the last survey found."""
        surveys = self._system.surveys
        await asyncio.to_thread(surveys.refresh)
        report = surveys.report
        send(
            resp,
            200,
            {
                "running": surveys.running,
                "taken_at": report.taken_at,
                "seconds": report.seconds,
                "seen": report.seen,
                "failures": report.failures,
                "findings": [_published(one) for one in report.findings],
            },
        )

    on_head = on_get

    async def on_post(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Have a survey taken. It has been when `taken_at` is not before `asked_at`."""
        if not self._system.view.complete:
            raise OsbError(
                503, "ServiceUnavailable", "The broker is starting.", headers=RETRY_AFTER
            )
        asked_at = time.time()
        self._system.survey()
        send(resp, 202, {"asked_at": asked_at})


@falcon.before(operators_only)
class FindingResource:
    """`/operator/findings/{finding_id}`."""

    def __init__(self, system: BrokerSystem, settings: EdgeSettings) -> None:
        self._system = system
        self._settings = settings

    async def on_post(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, finding_id: str
    ) -> None:
        """Adopt, keep or delete."""
        body = await read_body(req, FindingBody, self._settings.max_body)
        reply = self._system.settle(
            finding_id, body.action, body.parameters or NOTHING, body.instance_id or ""
        )
        try:
            async with asyncio.timeout(self._settings.response_timeout):
                answer = await asyncio.wrap_future(reply)
        except TimeoutError:
            raise OsbError(504, "TimedOut", "It is waiting for a survey; ask again.") from None
        if answer.verdict in REFUSALS:
            status, error, _ = REFUSALS[answer.verdict]
            raise OsbError(status, error, answer.description)
        found: dict[str, Any] = {"description": answer.description}
        if answer.record is not None:
            found = {
                "description": answer.record.operation.description,
                "instance_id": answer.record.key.instance_id,
                "binding_id": answer.record.key.binding_id,
            }
        send(resp, 202 if answer.goes_on else 200, found)


def _published(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "disagreement": finding.disagreement,
        "broker": finding.broker,
        "kind": finding.kind,
        "name": finding.name,
        "instance_id": finding.key.instance_id,
        "binding_id": finding.key.binding_id,
        "description": finding.description,
        "since": finding.since,
        "facts": finding.found.resource if finding.found is not None else NOTHING,
    }
