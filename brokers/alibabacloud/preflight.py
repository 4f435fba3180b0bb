"""What can be asked of the cloud before anything is created: who we are, and what we may do.

Permissions are tried with calls about things that do not exist. The cloud looks at them first, so
that the answer is a refusal, or that there is no such thing.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, TypeVar

import requests

from alibroker.brokers.alibabacloud.client import CloudClient
from alibroker.brokers.alibabacloud.errors import CloudError, Kind
from alibroker.brokers.alibabacloud.product import Product
from alibroker.brokers.api import Check, CheckState

_T = TypeVar("_T")
_PATIENCE: Final = 60.0  # seconds
_TIMEOUT: Final = (3.0, 5.0)  # seconds to connect, to read
_REFUSED_SKEW: Final = 900.0  # seconds; signatures are refused from there
_WORRYING_SKEW: Final = 60.0
_KEYS: Final = (
    "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET to a key that is active, "
    "or see to the role that the broker runs with"
)
_CLOCK: Final = "set the clock of this machine: let it follow a time server"
_NETWORK: Final = (
    "let this machine reach the cloud's endpoints over HTTPS (proxy, firewall, name resolution), "
    "and see that ALIBROKER_REGION is a region of Alibaba Cloud"
)
_REMEDIES: Final = (
    (("InvalidAccessKey", "SignatureDoesNotMatch", "InvalidSecurityToken", "Credentials"), _KEYS),
    (("SecurityTokenExpired", "IncompleteSignature", "UserDisable"), _KEYS),
    (("IllegalTimestamp", "InvalidTimeStamp", "RequestTimeTooSkewed"), _CLOCK),
)


class Probe(NamedTuple):
    """A harmless call that tells whether an action is allowed."""

    action: str
    parameters: Mapping[str, str]
    secrets: Mapping[str, str] | None = None
    optional: bool = False
    """Whether the broker can do without."""


def identity(cloud: CloudClient) -> Check:
    """Tell whose credentials they are (STS GetCallerIdentity, which nobody is refused)."""
    subject = "credentials"
    try:
        answer = cloud.caller_identity()
    except CloudError as error:
        return refused(subject, error)
    account = answer.get("AccountId")
    detail = f"account {account}, {answer.get('Arn')} ({cloud.credentials.source})"
    if answer.get("IdentityType") == "Account":
        return Check(
            subject=subject,
            state=CheckState.WARNING,
            detail=detail,
            remedy="use a RAM user or role that may do only what the broker needs: this key may do "
            "anything to the account",
        )
    return Check(subject=subject, state=CheckState.OK, detail=detail)


def clock(url: str) -> Check:
    """Compare this machine's clock with the one of the server at `url`."""
    subject = "clock"
    try:
        with requests.Session() as session:
            session.trust_env = url.startswith("https://")
            answer = session.head(url, timeout=_TIMEOUT, allow_redirects=False)
        server = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError) as error:
        return Check(
            subject=subject,
            state=CheckState.UNKNOWN,
            detail=f"{url} does not tell the time ({type(error).__name__})",
        )
    skew = time.time() - server
    detail = f"{abs(skew):.0f} s {'before' if skew > 0 else 'behind'} the cloud's"
    if abs(skew) < _WORRYING_SKEW:
        return Check(subject=subject, state=CheckState.OK, detail=detail)
    state = CheckState.FAILED if abs(skew) > _REFUSED_SKEW else CheckState.WARNING
    return Check(subject=subject, state=state, detail=detail, remedy=_CLOCK)


def reachable(subject: str, url: str, remedy: str) -> Check:
    """Tell whether a server answers at `url`, whatever it says."""
    try:
        with requests.Session() as session:
            session.trust_env = url.startswith("https://")
            session.head(url, timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        return Check(
            subject=subject,
            state=CheckState.FAILED,
            detail=f"{url} cannot be reached ({type(error).__name__})",
            remedy=remedy,
        )
    return Check(subject=subject, state=CheckState.OK, detail=url)


def patiently(call: Callable[[], _T]) -> _T:
    """Make a call, and again for a minute while the cloud or our own limit wants fewer of them.

    Raises:
        CloudError: It did not end well.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return call()
        except CloudError as error:
            if error.kind is not Kind.THROTTLED or time.monotonic() > end:
                raise
            time.sleep(min(error.after or 1.0, _PATIENCE))


def look(subject: str, call: Callable[[], str], remedy: str = "") -> Check:
    """Make a call that only reads; what it returns is the detail."""
    try:
        return Check(subject=subject, state=CheckState.OK, detail=patiently(call))
    except CloudError as error:
        return refused(subject, error, remedy)


def permissions(
    cloud: CloudClient, product: Product, features: Mapping[str, Iterable[Probe]]
) -> Iterator[Check]:
    """Try, feature by feature, whether the actions that it needs are allowed."""
    for feature, probes in features.items():
        subject = f"{product.name.upper()}: may {feature}"
        denied: list[str] = []
        missed: list[str] = []
        unsure: list[str] = []
        count = 0
        for probe in probes:
            count += 1
            name = f"{product.prefix}:{probe.action}"
            try:
                patiently(functools.partial(_try, cloud, product, probe))
            except CloudError as error:
                if error.kind is Kind.DENIED:
                    (missed if probe.optional else denied).append(name)
                elif error.kind not in {Kind.NOT_FOUND, Kind.PLACE}:
                    unsure.append(f"{name} ({error.code})")
        yield _permission(subject, count, denied, missed, unsure)


def _try(cloud: CloudClient, product: Product, probe: Probe) -> None:
    cloud.ask(product, probe.action, probe.secrets, **probe.parameters)


def _permission(
    subject: str, count: int, denied: list[str], missed: list[str], unsure: list[str]
) -> Check:
    if denied or missed:
        names = ", ".join(denied + missed)
        return Check(
            subject=subject,
            state=CheckState.FAILED if denied else CheckState.WARNING,
            detail=f"refused: {names}",
            remedy=f"allow {names} to the broker's RAM identity"
            + (", or do not offer it" if denied else "; the broker can do without"),
        )
    if unsure:
        return Check(
            subject=subject,
            state=CheckState.UNKNOWN,
            detail=f"no answer that tells: {', '.join(unsure)}",
        )
    return Check(subject=subject, state=CheckState.OK, detail=f"none of {count} actions is refused")


def refused(subject: str, error: CloudError, remedy: str = "") -> Check:
    """Return the check that a call's failure is, with what an operator can do about it."""
    for codes, text in _REMEDIES:
        if error.code.startswith(codes):
            remedy = text
    if error.kind is Kind.UNKNOWN or error.code.startswith("SDK."):
        remedy = _NETWORK
    elif error.kind is Kind.DENIED:
        remedy = error.message + (remedy and f"; or {remedy}")
    elif error.kind is Kind.THROTTLED:
        remedy = "check again in a minute"
    return Check(
        subject=subject, state=CheckState.FAILED, detail=str(error), remedy=remedy or error.message
    )
