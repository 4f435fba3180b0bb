"""What the error codes of RDS mean.

The lists are those of the vendor's pages, action by action; what Terraform tries again is from the
files of its resources for RDS.
"""

from __future__ import annotations

from typing import Final

from alibroker.brokers.alibabacloud.families import (
    BUSY,
    DISTURBANCE,
    FEWER,
    LIMIT,
    Kind,
    rule,
)

_GATEWAY: Final = "RDS, client error codes"
_LIST: Final = "RDS, error codes"
_ORDERS: Final = "RDS, error codes of CreateDBInstance and ModifyDBInstanceSpec"
_ACCOUNTS: Final = "RDS, error codes of CreateAccount, DeleteAccount and DescribeAccounts"
_TERRAFORM: Final = "terraform-provider-alicloud, errors that its RDS resources try again"
_PROVISION: Final = "CreateDBInstance|ModifyDBInstanceSpec"

RULES: Final = (
    rule(Kind.THROTTLED, FEWER, _ACCOUNTS, r"ConcurrentLimit"),
    rule(
        Kind.RETRY,
        BUSY,
        f"{_LIST}; {_TERRAFORM}",
        r"IncorrectDBInstanceState",
        r"OperationDenied\.(DB|ReadDB|MasterDB|PrimaryDB)\w*Stat(us|e)",
        r"OperationDenied\.(OutofUsage|OrderProcessing)",
        r"InvalidDBInstanceStatus\.NotSupport",
        r"InvalideStatus\.Format",  # the vendor's spelling
        r"IncorrectAccountStatus",
        r"IncorrectInstanceStatus",
        r"DbossGeneralError",
        r"GeneralIns\..*",
        r"Database\.ConnectError",
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
    # "Parameter values are invalid, or the request is waiting for locks": what we send is valid.
    rule(
        Kind.RETRY,
        BUSY,
        f"{_ACCOUNTS}; terraform-provider-alicloud issue 7121",
        r"Account\.(Del|Delete|Update|Query)Error",
    ),
    # Seen for a moment on instances that exist.
    rule(Kind.RETRY, BUSY, _TERRAFORM, r"InvalidParameter", actions="Describe.*"),
    # "Check your input value, or your input value may not satisfy the policy of the instance": that
    # stays so; or it waits for a lock.
    rule(Kind.RETRY, "", f"{_ACCOUNTS}; {_TERRAFORM}", r"Account\.AddError"),
    # Its message says whether that is for now, or because the account owns something.
    rule(Kind.RETRY, "", _TERRAFORM, r"AccountActionForbidden"),
    rule(
        Kind.UNKNOWN,
        DISTURBANCE,
        f"{_LIST}; {_ACCOUNTS}",
        r"ExternalFailure",
        r"RequestMetaDataFailed",
        r"InvokeProxyFailure",
        r"SqlExecuteFailedOrTimeout",
        r"NetworkOrSqlTimeoutError",
        r"IO\.Exception",
    ),
    rule(
        Kind.NOT_FOUND,
        "",
        f"{_GATEWAY}; {_LIST}; {_TERRAFORM}",
        r"InvalidDBInstance(Id|Name)?\.NotFound(Error)?",
        r"Forbidden\.(Instance|Vpc)NotFound",
        r"InvalidAccount(Name|Privilege)\.NotFound",
        r"InvalidDB(Name)?\.NotFound",
        r"InvalidCondition\.NotFound",
        r"InvalidVpcI[Dd]\.NotFound",
    ),
    rule(Kind.EXISTS, "", _LIST, r"InvalidAccountName\.Duplicate", r"InvalidDBName\.Duplicate"),
    rule(
        Kind.FAILED,
        "deletion protection is on: turn it off (by an update of DeletionProtection, or in the "
        "console), then try again",
        _LIST,
        r"OperationDenied\.DeletionProtection",
    ),
    rule(
        Kind.FAILED,
        "a read-only or disaster recovery instance hangs on this one: delete that in the console, "
        "then try again",
        _GATEWAY,
        r"DependencyViolation",
        r"GuardInstance\.ReleaseFail",
    ),
    rule(
        Kind.FAILED,
        "this region does not sell it: choose another version, class or engine",
        _GATEWAY,
        r"Inva(il|li)d(Engine|EngineVersion|DBInstanceClass)InRegion\.NotAvailable",
    ),
    rule(
        Kind.DENIED,
        "",
        _ORDERS,
        r"InvalidUserOperatorPermission",
    ),
    rule(
        Kind.ACCOUNT,
        "the Alibaba Cloud account lacks the service-linked role of this product: create it in the "
        "console (by buying one instance there), then try again",
        _ORDERS,
        r"ServiceLinkedRole\.NotExist",
    ),
    rule(
        Kind.ACCOUNT,
        "RDS may not use the keys of the Alibaba Cloud account, or a key is off: see to it in the "
        "console (KMS), then try again",
        f"{_LIST}; {_ORDERS}",
        r"ByokNotAuthorizedToRds",
        r"KmsApiError",
        r"Kms\.Unauthorized",
        r"InvalidKmsKey",
        r"InvalidClusterKms",
        r"InvalidKmsConfigStatus",
    ),
    rule(
        Kind.ACCOUNT,
        "the database is locked: its storage is full, or the account is overdue; see the console",
        f"{_GATEWAY}; {_LIST}",
        r"IncorrectDBInstanceLockMode",
        r"OperationDenied\.InstanceLocked",
    ),
    rule(
        Kind.PLACE,
        "out of stock: choose another class or another zone",
        f"{_ORDERS}; {_GATEWAY}",
        r"InsufficientResourceCapacity(Check)?",
        r"OperationDenied\.(No|Zone)(Stock|Resource)",
    ),
    rule(
        Kind.PLACE,
        "out of stock: choose another class or another zone",
        _GATEWAY,
        r"OperationDenied",  # "The resource is out of usage."
        actions=_PROVISION,
    ),
    rule(
        Kind.PLACE,
        "this zone does not sell such an instance: choose another zone, or another class, edition "
        "or storage type",
        f"{_ORDERS}; {_LIST}",
        r"InvalidZone(Id)?\.NotSupported",
        r"InvalidZone\.NotSupportedForStorageType",
        r"ZoneId\.NotMatchWithCategory",
        r"InvalidAvZone\.Format",
        r"Zone\.NotOnSale",
    ),
    rule(
        Kind.PLACE,
        "the vSwitch has no free address: choose another one",
        _ORDERS,
        r"VswitchIpExhausted",
    ),
    rule(
        Kind.QUOTA,
        LIMIT,
        _ORDERS,
        r"NumberExceed\..*",
    ),
)
