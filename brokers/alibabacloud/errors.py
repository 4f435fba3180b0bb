"""Every way in which a call to the cloud can end badly, as one typed error.

The cloud's HTTP statuses differ between actions and change over time, so only the error code
counts.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from alibroker.brokers.api import Failed, Step, TryAgainError, Work
from alibroker.brokers.texts import plain

_B = TypeVar("_B")


class Kind(enum.Enum):
    """What an error means for whoever made the call."""

    RETRY = "retry"
    """Not done; later it may be."""
    THROTTLED = "throttled"
    """Not done: too many calls."""
    UNKNOWN = "unknown"
    """It may have been done: ask, or repeat in a way that does it only once."""
    NOT_FOUND = "not found"
    EXISTS = "exists"
    DENIED = "denied"
    """The broker's identity lacks a permission."""
    QUOTA = "quota"
    """Money or a limit of the account is in the way."""
    PLACE = "place"
    """This zone or vSwitch has none, or no more, of it; another one may."""
    FAILED = "failed"
    """It never will be done in this form."""


class CloudError(Exception):
    """A call to the cloud that did not end well.

    Its text may be shown to users: it has no URL, no parameter and no secret in it.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        action: str,
        code: str,
        message: str,
        request_id: str = "",
        after: float | None = None,
    ) -> None:
        """Record what happened; `after` is the seconds that the cloud asked to wait."""
        code, message, request_id = plain(code), plain(message), plain(request_id)
        request = f", request {request_id}" if request_id else ""
        super().__init__(f"{action}: {message} ({code}{request})")
        self.kind = kind
        self.action = action
        self.code = code
        self.message = message
        self.request_id = request_id
        self.after = after


class _Rule(NamedTuple):
    codes: re.Pattern[str]
    kind: Kind
    message: str
    """What to tell the user; empty for the cloud's own words."""


def _rule(kind: Kind, message: str, *codes: str) -> _Rule:
    return _Rule(re.compile("|".join(f"(?:{code})" for code in codes)), kind, message)


_RULES: Final = (
    _rule(
        Kind.THROTTLED,
        "Alibaba Cloud asks for fewer calls",
        r"(.*\.)?Throttling(\..*)?",
        r"ConcurrentLimit",
        r"ServiceBusy",
        r"\w*(Qps|TrafficRate)LimitExceeded",
        r"FlowLimit.*",
    ),
    _rule(
        Kind.RETRY,
        "Alibaba Cloud does not accept the broker's access key; its operator has to look into it",
        r"InvalidAccessKeyId(\..*)?",
        r"InvalidAccessKeySecret",
        r"InvalidSecurityToken(\..*)?",
        r"SecurityTokenExpired",
        r"SignatureDoesNotMatch",
        r"IncompleteSignature",
        r"Credentials",
    ),
    _rule(
        Kind.RETRY,
        "the broker's clock is wrong; its operator has to look into it",
        r"IllegalTimestamp",
        r"InvalidTimeStamp\..*",
        r"RequestTimeTooSkewed",
    ),
    _rule(
        Kind.RETRY,
        "Alibaba Cloud is still busy with this resource",
        r"IncorrectDBInstanceState",
        r"OperationDenied\.(DB|ReadDB)\w*Status",
        r"OperationDenied\.OutofUsage",
        r"InvalidDBInstanceStatus\.NotSupport",
        r"IncorrectAccountStatus",
        r"DbossGeneralError",
        r"GeneralIns\..*",
        r"Database\.ConnectError",
        r"Account\.(Add|Del|Update)Error",
        r"SqlExcutionFailed",
        r"LockTimeout",
        r"InstanceConnectTimeoutFault",
        r"ConcurrentTaskExceeded",
        r"InvalidConcurrentOperate",
        r"DbRestoring",
        r"DeleteConflict\.User\.(AccessKey|Group|LoginProfile|MFADevice|Policy)",
        r"InvalidOrderTask\.NotSupport",
        r"EngineMigration\.ActionDisabled",
    ),
    # Its message says whether that is for now, or because the account owns something.
    _rule(Kind.RETRY, "", r"AccountActionForbidden"),
    _rule(Kind.RETRY, "the request has to be sent once more", r"SignatureNonceUsed"),
    _rule(
        Kind.RETRY,
        "Alibaba Cloud cannot be found on the network",
        r"SDK\.EndpointResolvingError",
        r"SDK\.MissingEndpointsFiler",
    ),
    _rule(
        Kind.UNKNOWN,
        "Alibaba Cloud has a disturbance",
        r"ServiceUnavailable",
        r"SystemBusy",
        r"InternalError",
        r"InternalServerError",
        r"ExternalFailure",
        r"RequestMetaDataFailed",
        r"InvokeProxyFailure",
        r"RequestTimeout",
        r"SDK\.UnknownServerError",
    ),
    _rule(
        Kind.NOT_FOUND,
        "",
        r"InvalidDBInstance(Id|Name)?\.NotFound",
        r"InvalidAccount(Name|Privilege)\.NotFound",
        r"InvalidDB(Name)?\.NotFound",
        r"InvalidCondition\.NotFound",
        r"InvalidVpcI[Dd]\.NotFound",
        r"Forbidden\.VpcNotFound",
        r"EntityNotExist(\..*)?",
        r"NoSuch(Bucket|Key|Upload)",
        r"Http404",
    ),
    _rule(
        Kind.EXISTS,
        "",
        r"InvalidAccountName\.Duplicate",
        r"InvalidDBName\.Duplicate",
        r"EntityAlreadyExists?(\..*)?",
        r"BucketAlreadyExists",
    ),
    _rule(
        Kind.FAILED,
        "deletion protection is on: turn it off (by an update of DeletionProtection, or in the "
        "console), then try again",
        r"OperationDenied\.DeletionProtection",
    ),
    _rule(
        Kind.FAILED,
        "the bucket still holds objects, versions or unfinished uploads: empty it, then try again",
        r"BucketNotEmpty",
    ),
    _rule(
        Kind.FAILED,
        "this Alibaba Cloud account may not use the default public endpoints of OSS in mainland "
        "China for what is in buckets: the broker's operator has to set ALIBROKER_OSS_ENDPOINT to "
        "internal, if the broker runs in the bucket's region, or to a domain of the bucket",
        r"PublicEndpointForbidden",
    ),
    _rule(
        Kind.FAILED,
        "a retention policy of the bucket forbids this until its time is over",
        r"FileImmutable",
    ),
    _rule(
        Kind.DENIED,
        "",
        r"NoPermission(\..*)?",
        r"NotAuthorized",
        r"AccessDenied",
        r"BucketNotBelongTo",
        r"ActionUnauthorized",
        r"Forb[ie]dden(\..*)?",
    ),
    _rule(
        Kind.QUOTA,
        "the Alibaba Cloud account lacks the service-linked role of this product: create it in the "
        "console (by buying one instance there), then try again",
        r"ServiceLinkedRole\.NotExist",
    ),
    _rule(
        Kind.QUOTA,
        "the Alibaba Cloud account is overdue or stopped: settle that, then try again",
        r"UserDisable",
        r"InDebt(Overdue)?",
        r"AbnormalBucketOwnerStatus",
        r"BucketDisable",
    ),
    _rule(
        Kind.QUOTA,
        "the database is locked: its storage is full, or the account is overdue; see the console",
        r"IncorrectDBInstanceLockMode",
    ),
    _rule(
        Kind.QUOTA,
        "the balance of the Alibaba Cloud account is too low: top it up, then try again",
        r"(.*\.)?InsufficientBalance",
        r"(.*\.)?Inst(ance)?HasUnpaidOrder",
        r"OperationDenied\.OrderUnPaid",
        r"ArrearageOrderExists",
    ),
    _rule(
        Kind.QUOTA,
        "the Alibaba Cloud account lacks real-name registration: register it, then try again",
        r"Order\.NoRealNameAuthentication",
    ),
    _rule(
        Kind.PLACE,
        "out of stock: choose another class or another zone",
        r"InsufficientResourceCapacity",
        r"OperationDenied\.(No|Zone)(Stock|Resource)",
    ),
    _rule(
        Kind.PLACE,
        "this zone does not sell such an instance: choose another zone, or another class, edition "
        "or storage type",
        r"InvalidZoneId\.NotSupported",
        r"InvalidZone\.NotSupportedForStorageType",
        r"ZoneId\.NotMatchWithCategory",
        r"InvalidAvZone\.Format",
        r"Zone\.NotOnSale",
    ),
    _rule(
        Kind.QUOTA,
        "a limit of the Alibaba Cloud account is reached: delete something or ask for more",
        r".*Quota.*",
        r"(.*\.)?\w*LimitExceeded(\..*)?",
        r"TooManyBuckets",
        r"NumberExceed\..*",
    ),
    _rule(
        Kind.PLACE,
        "the vSwitch has no free address: choose another one",
        r"VswitchIpExhausted",
    ),
)

_UNSAFE: Final = re.compile(r"string to sign|://|\?\w+=|&\w+=", re.IGNORECASE)
_MAX_MESSAGE: Final = 200


def cloud_error(
    *,
    product: str,
    action: str,
    code: str,
    message: str,
    status: int | None = None,
    request_id: str = "",
    after: float | None = None,
) -> CloudError:
    """Make the typed error for an error answer, by its code.

    `message` is the cloud's text; it is repeated only if it cannot hold what we sent.
    """
    kind, text = _classify(action, code, status)
    if kind is Kind.DENIED:
        text = f"the broker may not do this: allow {product.lower()}:{action} to its RAM identity"
    elif not text:
        text = plain(message[:_MAX_MESSAGE])
        if not text or _UNSAFE.search(text):
            text = "Alibaba Cloud refuses"
    return CloudError(
        kind, action=action, code=code, message=text, request_id=request_id, after=after
    )


def _classify(action: str, code: str, status: int | None) -> tuple[Kind, str]:
    for rule in _RULES:
        if rule.codes.fullmatch(code):
            return rule.kind, rule.message
    if action.startswith("Describe") and code == "InvalidParameter":
        # Seen for a moment on instances that exist (also by Terraform's provider).
        return Kind.RETRY, "Alibaba Cloud is still busy with this resource"
    if not code or (status is not None and status >= 500):  # noqa: PLR2004 - HTTP server errors
        return Kind.UNKNOWN, "Alibaba Cloud has a disturbance"
    return Kind.FAILED, ""


def lost(action: str, error: BaseException) -> CloudError:
    """Make the typed error for a call without an answer that can be understood."""
    return CloudError(
        Kind.UNKNOWN,
        action=action,
        code=type(error).__name__,
        message="no answer from Alibaba Cloud",
    )


def failed(error: CloudError) -> Failed:
    """Return the end of an operation that `error` is.

    Raises:
        TryAgainError: Trying later helps, so it is no end.
    """
    if error.kind in {Kind.RETRY, Kind.THROTTLED, Kind.UNKNOWN}:
        raise TryAgainError(
            str(error), after=error.after, unanswered=error.kind is Kind.UNKNOWN
        ) from error
    return Failed(reason=str(error))


def ends_operation(step: Callable[[_B, Work], Step]) -> Callable[[_B, Work], Step]:
    """Let a `CloudError` that a step does not handle end the operation, or have it tried again."""

    @functools.wraps(step)
    def guarded(broker: _B, work: Work) -> Step:
        try:
            return step(broker, work)
        except CloudError as error:
            return failed(error)

    return guarded
