"""The version header (OSB, API Version Header)."""

from __future__ import annotations

from typing import Final

from alibroker.conformance.checks import (
    Findings,
    Level,
    Remark,
    Stage,
    check,
    if_broken,
    unless,
)
from alibroker.conformance.exchange import Exchange, Kind
from alibroker.conformance.session import VERSION, Session

_GARBAGE: Final = (
    "abc",
    "2",
    "2.",
    "2.x",
    "v2.17",
    "2.17.1",
    "-2.13",
    "2.13, 2.14",
    "2,17",
    "\u0662.\u0661\u0667".encode().decode("latin-1"),
    "9" * 4000 + ".1",
)


@check(
    "VER-4",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="A request without version is refused with 400 or 412",
)
def missing_version_is_refused(session: Session) -> Findings:
    """Leave the header out, and send it empty."""
    yield from unless(_ask(session, None), (400, 412), "no version")
    yield from unless(_ask(session, ""), (400, 412), "an empty version")


@check(
    "VER-2",
    "VER-5",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="A version that is not supported is refused with 412, if it is refused",
)
def other_versions_are_refused_properly(session: Session) -> Findings:
    """Send versions that a broker may or may not support."""
    for version in ("2.2", "2.11", "1.0", "3.0"):
        exchange = _ask(session, version)
        yield from unless(exchange, (200, 412), f"version {version}")
        if exchange.has(200):
            yield Remark(f"accepts version {version}")


@check(
    "VER-2",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="A refusal for the version says which version to use",
)
def refusals_name_the_version(session: Session) -> Findings:
    """Look at the description of a 412."""
    exchange = _ask(session, "1.0")
    if not exchange.has(412):
        yield Remark("accepts version 1.0")
        return
    if "2." not in exchange.text("description"):
        yield from unless(exchange, (), "version 1.0, with a description that names no version")


@check(
    "VER-3",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="A higher minor version is accepted, and compared as a number",
)
def higher_minor_versions_are_accepted(session: Session) -> Findings:
    """Send versions that do not exist yet."""
    for version in ("2.18", "2.99", "2.100"):
        yield from unless(_ask(session, version), (200,), f"version {version}")


@check(
    "VER-2",
    "ERR-1",
    level=Level.MUST,
    stage=Stage.REQUESTS,
    title="Garbage as version is no reason for a server error",
)
def garbage_as_version_breaks_nothing(session: Session) -> Findings:
    """Send what is no version."""
    for version in (None, "", *_GARBAGE):
        shown = "no version" if version is None else f"version {version[:16]!r}"
        yield from if_broken(_ask(session, version), shown)


@check(
    "VER-2",
    level=Level.SHOULD,
    stage=Stage.REQUESTS,
    title="Garbage as version is refused with 412 or 400",
)
def garbage_as_version_is_refused(session: Session) -> Findings:
    """Send what is no version."""
    for version in _GARBAGE[:8]:
        yield from unless(_ask(session, version), (400, 412), f"version {version!r}")


def _ask(session: Session, version: str | None) -> Exchange:
    return session.call(Kind.CATALOG, headers={VERSION: version})
