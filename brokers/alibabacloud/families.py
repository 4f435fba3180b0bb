"""What the codes of errors mean: kinds, rules, and the rules that all products share.

The HTTP statuses differ between actions and change over time, so only the code counts. A product
brings the rules of its own codes along (`Product.rules`); they are looked at first, so that one
code can mean something else there. The first rule that matches is the one.

What no rule names is final if the cloud's own status says that the request was wrong: the vendor's
Terraform provider gives up at once as well, and its SDKs try nothing again. With a status of 5xx
the request may have taken effect, and is tried again in a way that does it only once.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple


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
    ACCOUNT = "account"
    """The Alibaba Cloud account itself is in the way; only its owner can change that."""
    QUOTA = "quota"
    """A limit of the account, or of something in it, is reached."""
    PLACE = "place"
    """This zone or vSwitch has none, or no more, of it; another one may."""
    FAILED = "failed"
    """It never will be done in this form."""


class Rule(NamedTuple):
    """What codes that match mean."""

    kind: Kind
    message: str
    """What to tell the user, with the remedy; empty for the cloud's own words."""
    source: str
    """Who says so."""
    codes: re.Pattern[str]
    actions: re.Pattern[str] = re.compile(".*")

    def fits(self, action: str, code: str) -> bool:
        """Tell whether an action's code is one of these."""
        return bool(self.codes.fullmatch(code) and self.actions.fullmatch(action))


def rule(kind: Kind, message: str, source: str, *codes: str, actions: str = ".*") -> Rule:
    """Make a rule; codes and actions are regular expressions for the whole of them."""
    pattern = re.compile("|".join(f"(?:{code})" for code in codes))
    return Rule(kind, message, source, pattern, re.compile(actions))


BUSY: Final = "Alibaba Cloud is still busy with this resource"
DISTURBANCE: Final = "Alibaba Cloud has a disturbance"
FEWER: Final = "Alibaba Cloud asks for fewer calls"
LIMIT: Final = "a limit of the Alibaba Cloud account is reached: delete something or ask for more"
OVERDUE: Final = "the Alibaba Cloud account is overdue or stopped: settle that, then try again"
REGION: Final = (
    "Alibaba Cloud does not know this region, or closes it: the broker's operator has to set "
    "ALIBROKER_REGION to another one"
)
RISK: Final = (
    "Alibaba Cloud's risk control forbids this to the account: its owner has to look into the "
    "console, or ask support"
)
UNREGISTERED: Final = (
    "the Alibaba Cloud account lacks real-name registration: register it, then try again"
)
"""What is told wherever it happens, whichever product says so."""

_GATEWAY: Final = "RDS, client error codes"  # the list is about the gateway of all RPC products
_SDK: Final = "aliyun-python-sdk-core"
_TERRAFORM: Final = "terraform-provider-alicloud, NeedRetry"
_RAM: Final = "RAM and STS, error codes"
_OSS: Final = "OSS, HTTP 403"

COMMON: Final = (
    rule(
        Kind.THROTTLED,
        FEWER,
        f"{_GATEWAY}; {_TERRAFORM}",
        r"(.*\.)?Throttling(User|\..*)?",
        r"FlowLimit.*",
    ),
    rule(
        Kind.RETRY,
        "Alibaba Cloud does not accept the broker's access key; its operator has to look into it",
        f"{_GATEWAY}; {_RAM}; {_OSS}",
        r"InvalidAccessKeyId(\..*)?",
        r"InvalidAccessKeySecret",
        r"InvalidSecurityToken(\..*)?",
        r"SecurityTokenExpired",
        r"SignatureDoesNotMatch",
        r"IncompleteSignature",
        r"Credentials",
    ),
    rule(
        Kind.RETRY,
        "the broker's clock is wrong; its operator has to look into it",
        f"{_GATEWAY}; {_OSS}",
        r"IllegalTimestamp",
        r"InvalidTimeStamp\..*",
        r"RequestTimeTooSkewed",
    ),
    rule(Kind.RETRY, "the request has to be sent once more", _GATEWAY, r"SignatureNonceUsed"),
    rule(
        Kind.RETRY,
        "Alibaba Cloud cannot be found on the network",
        _SDK,
        r"SDK\.EndpointResolvingError",
        r"SDK\.MissingEndpointsFiler",
    ),
    rule(
        Kind.UNKNOWN,
        DISTURBANCE,
        f"{_GATEWAY}; {_TERRAFORM}; {_SDK}",
        r"ServiceUnavailable",
        r"System\.?Busy",
        r"Internal(Server)?(Error|Failure)",
        r"SDK\.UnknownServerError",
    ),
    rule(
        Kind.FAILED,
        REGION,
        _GATEWAY,
        r"InvalidRegionId(\..*)?",
        r"Forbidden\.RegionNotFound",
    ),
    rule(
        Kind.ACCOUNT,
        RISK,
        _GATEWAY,
        r"Forbidden\.RiskControl",
    ),
    rule(
        Kind.ACCOUNT,
        UNREGISTERED,
        _GATEWAY,
        r"RealNameAuthenticationError",
        r"Forbidden\.Authentication",
    ),
    # "You have no permission to use system tags": nobody has it.
    rule(Kind.FAILED, "", "RDS, error codes of CreateDBInstance", r"NoPermission\.SystemTag"),
    rule(
        Kind.DENIED,
        "",
        f"{_GATEWAY}; {_RAM}; terraform-provider-alicloud",
        r"NoPermission(\..*)?",
        r"RAM\.Permission\.Denied",
        r"NotAuthorized",
        r"ActionUnauthorized",
        r"Forb[ie]dden(\..*)?",
    ),
    rule(
        Kind.ACCOUNT,
        OVERDUE,
        _OSS,
        r"UserDisable",
        r"InDebt(Overdue)?",
    ),
    rule(
        Kind.QUOTA,
        LIMIT,
        f"{_GATEWAY}; {_RAM}",
        r".*Quota.*",
        r"(.*\.)?\w*LimitExceeded(\..*)?",
    ),
)
