"""What the codes of the cloud's errors mean: one table, family by family, with where it is from.

The HTTP statuses differ between actions and change over time, so only the code counts. What no rule
names is wrong input, and fails for good. The first rule that matches is the one.
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


_COMMON: Final = "RDS, client error codes"
_LIST: Final = "RDS, error codes"
_ORDERS: Final = "RDS, error codes of CreateDBInstance and ModifyDBInstanceSpec"
_TERRAFORM: Final = "terraform-provider-alicloud, errors that it retries"
_RAM: Final = "RAM and STS, error codes"
_OSS: Final = "OSS, error codes"
_SDK: Final = "aliyun-python-sdk-core"
_PROVISION: Final = "CreateDBInstance|ModifyDBInstanceSpec"


def _rule(kind: Kind, message: str, source: str, *codes: str, actions: str = ".*") -> Rule:
    pattern = re.compile("|".join(f"(?:{code})" for code in codes))
    return Rule(kind, message, source, pattern, re.compile(actions))


RULES: Final = (
    _rule(
        Kind.THROTTLED,
        "Alibaba Cloud asks for fewer calls",
        f"{_COMMON}; {_OSS}; {_TERRAFORM}",
        r"(.*\.)?Throttling(User|\..*)?",
        r"ConcurrentLimit",
        r"ServiceBusy",
        r"\w*(Qps|TrafficRate)LimitExceeded",
        r"FlowLimit.*",
    ),
    _rule(
        Kind.RETRY,
        "Alibaba Cloud does not accept the broker's access key; its operator has to look into it",
        f"{_COMMON}; {_RAM}; {_OSS}",
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
        f"{_COMMON}; {_OSS}",
        r"IllegalTimestamp",
        r"InvalidTimeStamp\..*",
        r"RequestTimeTooSkewed",
    ),
    _rule(
        Kind.RETRY,
        "Alibaba Cloud is still busy with this resource",
        f"{_LIST}; {_TERRAFORM}",
        r"IncorrectDBInstanceState",
        r"OperationDenied\.(DB|ReadDB|MasterDB|PrimaryDB)\w*Stat(us|e)",
        r"OperationDenied\.(OutofUsage|OrderProcessing)",
        r"InvalidDBInstanceStatus\.NotSupport",
        r"IncorrectAccountStatus",
        r"IncorrectInstanceStatus",
        r"DbossGeneralError",
        r"GeneralIns\..*",
        r"Database\.ConnectError",
        r"Account\.(Del|Update)Error",
        r"SqlExcutionFailed",
        r"LockTimeout",
        r"InstanceConnectTimeoutFault",
        r"ConcurrentTaskExceeded",
        r"SYSTEM\.CONCURRENT_OPERATE",
        r"InvalidConcurrentOperate",
        r"DbRestoring",
        r"InvalidOrderTask\.NotSupport",
        r"EngineMigration\.ActionDisabled",
    ),
    _rule(
        Kind.RETRY,
        "Alibaba Cloud is still busy with this resource",
        _RAM,
        r"DeleteConflict\.User\.(AccessKey|Group|LoginProfile|MFADevice|Policy)",
    ),
    # Seen for a moment on instances that exist.
    _rule(
        Kind.RETRY,
        "Alibaba Cloud is still busy with this resource",
        _TERRAFORM,
        r"InvalidParameter",
        actions="Describe.*",
    ),
    # "Check your input value, or your input value may not satisfy the policy of the instance": that
    # stays so; or it waits for a lock.
    _rule(Kind.RETRY, "", f"{_LIST}; {_TERRAFORM}", r"Account\.AddError"),
    # Its message says whether that is for now, or because the account owns something.
    _rule(Kind.RETRY, "", _TERRAFORM, r"AccountActionForbidden"),
    _rule(Kind.RETRY, "the request has to be sent once more", _COMMON, r"SignatureNonceUsed"),
    _rule(
        Kind.RETRY,
        "Alibaba Cloud cannot be found on the network",
        _SDK,
        r"SDK\.EndpointResolvingError",
        r"SDK\.MissingEndpointsFiler",
    ),
    _rule(
        Kind.UNKNOWN,
        "Alibaba Cloud has a disturbance",
        f"{_COMMON}; {_LIST}; {_TERRAFORM}",
        r"ServiceUnavailable",
        r"System\.?Busy",
        r"Internal(Server)?(Error|Failure)",
        r"ExternalFailure",
        r"RequestMetaDataFailed",
        r"InvokeProxyFailure",
        r"CommodityServiceCalling\.Exception",
        r"RequestTimeout",
        r"SDK\.UnknownServerError",
    ),
    _rule(
        Kind.NOT_FOUND,
        "",
        f"{_COMMON}; {_LIST}; {_RAM}; {_OSS}; {_TERRAFORM}",
        r"InvalidDBInstance(Id|Name)?\.NotFound(Error)?",
        r"Forbidden\.(Instance|Vpc)NotFound",
        r"InvalidAccount(Name|Privilege)\.NotFound",
        r"InvalidDB(Name)?\.NotFound",
        r"InvalidCondition\.NotFound",
        r"InvalidVpcI[Dd]\.NotFound",
        r"EntityNotExist(\..*)?",
        r"NoSuch(Bucket|Key|Upload)",
        r"Http404",
    ),
    _rule(
        Kind.EXISTS,
        "",
        f"{_LIST}; {_RAM}; {_OSS}",
        r"InvalidAccountName\.Duplicate",
        r"InvalidDBName\.Duplicate",
        r"EntityAlreadyExists?(\..*)?",
        r"BucketAlreadyExists",
    ),
    _rule(
        Kind.FAILED,
        "deletion protection is on: turn it off (by an update of DeletionProtection, or in the "
        "console), then try again",
        _LIST,
        r"OperationDenied\.DeletionProtection",
    ),
    _rule(
        Kind.FAILED,
        "a read-only or disaster recovery instance hangs on this one: delete that in the console, "
        "then try again",
        _COMMON,
        r"DependencyViolation",
        r"GuardInstance\.ReleaseFail",
    ),
    _rule(
        Kind.FAILED,
        "Alibaba Cloud does not know this region, or closes it: the broker's operator has to set "
        "ALIBROKER_REGION to another one",
        f"{_COMMON}; {_LIST}",
        r"InvalidRegionId(\..*)?",
        r"Forbidden\.RegionNotFound",
        r"RegionDissolvedEOM",
    ),
    _rule(
        Kind.FAILED,
        "this region does not sell it: choose another version, class or engine",
        _COMMON,
        r"Inva(il|li)d(Engine|EngineVersion|DBInstanceClass)InRegion\.NotAvailable",
    ),
    _rule(
        Kind.FAILED,
        "the bucket still holds objects, versions or unfinished uploads: empty it, then try again",
        _OSS,
        r"BucketNotEmpty",
    ),
    _rule(
        Kind.FAILED,
        "this Alibaba Cloud account may not use the default public endpoints of OSS in mainland "
        "China for what is in buckets: the broker's operator has to set ALIBROKER_OSS_ENDPOINT to "
        "internal, if the broker runs in the bucket's region, or to a domain of the bucket",
        "OSS, Access OSS through a custom domain name",
        r"PublicEndpointForbidden",
    ),
    _rule(
        Kind.FAILED,
        "a retention policy of the bucket forbids this until its time is over",
        _OSS,
        r"FileImmutable",
    ),
    _rule(
        Kind.ACCOUNT,
        "Alibaba Cloud's risk control forbids this to the account: its owner has to look into the "
        "console, or ask support",
        _COMMON,
        r"Forbidden\.RiskControl",
    ),
    _rule(
        Kind.ACCOUNT,
        "the Alibaba Cloud account lacks real-name registration: register it, then try again",
        f"{_COMMON}; {_ORDERS}",
        r"Order\.NoRealNameAuthentication",
        r"RealNameAuthenticationError",
        r"Forbidden\.Authentication",
    ),
    _rule(
        Kind.ACCOUNT,
        "the Alibaba Cloud account may not buy in this region: ask for it in the console, or the "
        "broker's operator has to set ALIBROKER_REGION to another one",
        _COMMON,
        r"RegionUnauthorized",
    ),
    _rule(
        Kind.DENIED,
        "",
        f"{_COMMON}; {_RAM}; {_OSS}; {_TERRAFORM}",
        r"NoPermission(\..*)?",
        r"RAM\.Permission\.Denied",
        r"NotAuthorized",
        r"AccessDenied",
        r"BucketNotBelongTo",
        r"ActionUnauthorized",
        r"Forb[ie]dden(\..*)?",
    ),
    _rule(
        Kind.ACCOUNT,
        "the Alibaba Cloud account lacks the service-linked role of this product: create it in the "
        "console (by buying one instance there), then try again",
        _ORDERS,
        r"ServiceLinkedRole\.NotExist",
    ),
    _rule(
        Kind.ACCOUNT,
        "RDS may not use the keys of the Alibaba Cloud account: authorize it in the console (KMS), "
        "then try again",
        _LIST,
        r"ByokNotAuthorizedToRds",
    ),
    _rule(
        Kind.ACCOUNT,
        "the Alibaba Cloud account is overdue or stopped: settle that, then try again",
        _OSS,
        r"UserDisable",
        r"InDebt(Overdue)?",
        r"AbnormalBucketOwnerStatus",
        r"BucketDisable",
    ),
    _rule(
        Kind.ACCOUNT,
        "the database is locked: its storage is full, or the account is overdue; see the console",
        f"{_COMMON}; {_LIST}",
        r"IncorrectDBInstanceLockMode",
        r"OperationDenied\.InstanceLocked",
    ),
    _rule(
        Kind.ACCOUNT,
        "the balance of the Alibaba Cloud account is too low, or an order is unpaid: top it up, "
        "then try again",
        f"{_COMMON}; {_LIST}; {_ORDERS}",
        r"(.*\.)?(Insufficient|CREDIT_PAY_INSUFFICIENT_)B(alance|ALANCE)",
        r"InsufficientAvailableQuota",
        r"(.*\.)?Inst(ance)?HasUnpaidOrder",
        r"OperationDenied\.OrderUnPaid",
        r"ArrearageOrderExists",
    ),
    _rule(
        Kind.ACCOUNT,
        "the order waits for the reseller of the Alibaba Cloud account to approve it",
        _LIST,
        r"TRADE_WAIT_DISTRIBUTOR_AUDIT",
    ),
    _rule(
        Kind.PLACE,
        "out of stock: choose another class or another zone",
        f"{_ORDERS}; {_COMMON}",
        r"InsufficientResourceCapacity",
        r"OperationDenied\.(No|Zone)(Stock|Resource)",
    ),
    _rule(
        Kind.PLACE,
        "out of stock: choose another class or another zone",
        _COMMON,
        r"OperationDenied",  # "The resource is out of usage."
        actions=_PROVISION,
    ),
    _rule(
        Kind.PLACE,
        "this zone does not sell such an instance: choose another zone, or another class, edition "
        "or storage type",
        f"{_ORDERS}; {_LIST}",
        r"InvalidZoneId\.NotSupported",
        r"InvalidZone\.NotSupportedForStorageType",
        r"ZoneId\.NotMatchWithCategory",
        r"InvalidAvZone\.Format",
        r"Zone\.NotOnSale",
    ),
    _rule(
        Kind.PLACE,
        "the vSwitch has no free address: choose another one",
        _ORDERS,
        r"VswitchIpExhausted",
    ),
    _rule(
        Kind.QUOTA,
        "a limit of the Alibaba Cloud account is reached: delete something or ask for more",
        f"{_COMMON}; {_LIST}; {_RAM}; {_OSS}",
        r".*Quota.*",
        r"(.*\.)?\w*LimitExceeded(\..*)?",
        r"TooManyBuckets",
        r"NumberExceed\..*",
    ),
)
