"""Every error code that RDS is known to answer, at every call of every operation.

Whatever the cloud says once, the operation ends as the table says, one instance at most was bought,
all that there is can be taken away again, and no secret is in any text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from alibroker.brokers.api import Failed, OperationKind, Step, Succeeded, TryAgainError
from alibroker.brokers.driver import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sandbox

    from alibroker.brokers.driver import Driver

    Drive = Callable[..., Driver]

PLAN = "rds-edc2badc-d93b-4d9c-9d8e-da2f1c8c3e1e"

LATER: Final = None
"""The operation goes on later, and succeeds."""

# What any action can answer, and what is said of it to the user (None: it passes by itself).
COMMON: Final[dict[str, str | None]] = {
    "Throttling": LATER,
    "Throttling.User": LATER,
    "Throttling.Api": LATER,
    "Rejected.Throttling": LATER,
    "ServiceUnavailable": LATER,
    "InternalError": LATER,
    "SignatureNonceUsed": LATER,
    "IllegalTimestamp": LATER,
    "InvalidTimeStamp.Expired": LATER,
    "InvalidAccessKeyId.NotFound": LATER,
    "InvalidAccessKeyId.Inactive": LATER,
    "IncompleteSignature": LATER,
    "SignatureDoesNotMatch": LATER,
    "InvalidSecurityToken.Expired": LATER,
    "InvalidSecurityToken.Malformed": LATER,
    "InvalidSecurityToken.MismatchWithAccessKey": LATER,
    "Forbidden.RAM": "RAM identity",
    "NoPermission": "RAM identity",
    "Forbedden.NotSupportRAM": "RAM identity",
    "Forbidden.RiskControl": "risk control",
    "UserDisable": "overdue",
    "ActionUnauthorized": "RAM identity",
    "MissingParameter": "MissingParameter",
    "InvalidParameterValue": "InvalidParameterValue",
    "UnsupportedHTTPMethod": "UnsupportedHTTPMethod",
    "InvalidAction.NotFound": "InvalidAction.NotFound",
    "InvalidVersion": "InvalidVersion",
}
_BUSY: Final[dict[str, str | None]] = {
    "IncorrectDBInstanceState": LATER,
    "OperationDenied.DBInstanceStatus": LATER,
    "OperationDenied.DBClusterStatus": LATER,
    "OperationDenied.DBStatus": LATER,
    "OperationDenied.OutofUsage": LATER,
}
_ACCOUNTS: Final[dict[str, str | None]] = {
    **_BUSY,
    "GeneralIns.Creating": LATER,
    "GeneralIns.Maintaining": LATER,
    "GeneralIns.Switching": LATER,
    "Database.ConnectError": LATER,
    "SqlExecuteFailedOrTimeout": LATER,
    "ExternalFailure": LATER,
    "RequestMetaDataFailed": LATER,
    "InvokeProxyFailure": LATER,
    "IncorrectDBInstanceLockMode": "locked",
}
# What single actions can answer besides.
OWN: Final[dict[str, dict[str, str | None]]] = {
    "CreateDBInstance": {
        "InvalidConcurrentOperate": LATER,
        "IdempotentParameterMismatch": LATER,
        "InvalidRequestId": LATER,
        # The order system's own trouble: the order may have been placed.
        "CommodityServiceCalling.Exception": LATER,
        "Price.CommoditySys": LATER,
        "OrdTCommodityQueryError": LATER,
        "System.SaleValidateFailed": LATER,
        "CallLxSdkFailed": LATER,
        "pay.noCreditCard": "means of payment",
        "InvalidPaymentMethod.Missing": "means of payment",
        "BasicInfoUncompleted": "complete it",
        "RR309": "support",
        "OrderStatus.UnPaid": "unpaid",
        "InvalidKmsKey": "KMS",
        "InsufficientBalance": "balance",
        "Pay.InsufficientBalance": "balance",
        "Order.NoRealNameAuthentication": "real-name",
        # Another zone, or another vSwitch, may have it.
        "InsufficientResourceCapacity": LATER,
        "OperationDenied.ZoneResource": LATER,
        "InvalidZoneId.NotSupported": LATER,
        "InvalidZone.NotSupported": LATER,
        "InvalidZone.NotSupportedForStorageType": LATER,
        "ZoneId.NotMatchWithCategory": LATER,
        "VswitchIpExhausted": LATER,
        "QuotaExceed.DBInstance": "limit",
        "NumberExceed.Tags": "limit",
        "ServiceLinkedRole.NotExist": "service-linked role",
        **{
            code: code
            for code in (
                "InvalidEssdStorageSize",
                *("InvalidDBInstanceClass.Malformed", "InvalidDBInstanceClass.Offline"),
                *("UnsupportedClassCode", "InvalidEngineVersion.Malformed"),
                *("InvalidSecurityIPList.Format", "InvalidVSwitchId.Format"),
                *("InvalidVswitchId", "InvalidPort.Malformed", "InvalidTagKey.Malformed"),
                *("Duplicate.TagKey", "InvalidParam.InstanceNetworkType"),
                *(
                    "InvalidParam.Engine",
                    "BasicCategoryNotSupport",
                    "InvalidInstanceLevel.DiskType",
                ),
                "InvalidDBInstanceName.Duplicate",
            )
        },
    },
    "DescribeDBInstanceAttribute": {
        "InvalidParameter": LATER,
        "InvalidDBInstanceId.NotFound": LATER,
        "InvalidDBInstanceName.NotFound": LATER,
    },
    "CreateDatabase": {
        **_ACCOUNTS,
        "InvalidDBName.Duplicate": LATER,
        "InvalidDBName.Format": "InvalidDBName.Format",
        "InvalidDBName.Forbid": "InvalidDBName.Forbid",
        "InvalidDBName.Malformed": "InvalidDBName.Malformed",
        "InvalidCharacterSetName.Format": "InvalidCharacterSetName.Format",
        "DatabaseLimitExceeded": "limit",
        "InvalidDBInstanceName.NotFound": LATER,
    },
    "CreateAccount": {
        **_ACCOUNTS,
        "Account.AddError": LATER,
        "InvalidAccountName.Forbid": "InvalidAccountName.Forbid",
        "InvalidAccountName.Malformed": "InvalidAccountName.Malformed",
        "InvalidAccountName.Format": "InvalidAccountName.Format",
        "InvalidAccountPassword.Format": "InvalidAccountPassword.Format",
        "InvalidAccountDescription.Format": "InvalidAccountDescription.Format",
        "InvalidAccountType.Format": "InvalidAccountType.Format",
        "IncorrectAccountType": "IncorrectAccountType",
        "AccountLimitExceeded": "limit",
        "InvalidDBInstanceName.NotFound": LATER,
    },
    "DescribeAccounts": {
        "InvalidDBInstanceStatus.NotSupport": LATER,
        "ConcurrentLimit": LATER,
        "DbossGeneralError": LATER,
        "Account.QueryError": LATER,
        "IO.Exception": LATER,
        "NetworkOrSqlTimeoutError": LATER,
        "InvalidAccountName.NotFound": LATER,
        "InvalidParameter": LATER,
    },
    "GrantAccountPrivilege": {
        **_ACCOUNTS,
        "LockTimeout": LATER,
        "InstanceConnectTimeoutFault": LATER,
        "ConcurrentTaskExceeded": LATER,
        "IncorrectAccountStatus": LATER,
        "DbRestoring": LATER,
        "InvalidDB.NotFound": LATER,
        "InvalidDBName.NotFound": LATER,
        "InvalidAccountPrivilege.Malformed": "InvalidAccountPrivilege.Malformed",
        "InvalidDBNameOrAccountPrivilege": "InvalidDBNameOrAccountPrivilege",
        "IncorrectAccountType": "IncorrectAccountType",
        "IncorrectAccountPrivilegeType": "IncorrectAccountPrivilegeType",
        "OperationDenied.AccountMode": "OperationDenied.AccountMode",
    },
    "ModifyDBInstanceSpec": {
        **_BUSY,
        "InvalidOrderTask.NotSupport": LATER,
        "InsufficientResourceCapacity": "out of stock",
        "OperationDenied.OrderUnPaid": "balance",
        "InstanceHasUnpaidOrder": "balance",
        "Order.InstHasUnpaidOrder": "balance",
        **{
            code: code
            for code in (
                *("NotSupportReduceDiskSize", "TargetStorageLessThanBottomLine"),
                *("InvalidStorageSize.Direction", "InvalidDBInstanceClass.NotFound"),
                "OperationDenied.DurationLimit",
            )
        },
    },
    "ModifySecurityIps": {
        **_BUSY,
        "InvalidSecurityIPList.Duplicate": "InvalidSecurityIPList.Duplicate",
        "InvalidSecurityIPList.Format": "InvalidSecurityIPList.Format",
        "SecurityIPList.Format": "SecurityIPList.Format",
        "InvalidSecurityIPListLength.Malformed": "InvalidSecurityIPListLength.Malformed",
        "InvalidSecurityIPListGroup.QuotaExceeded": "limit",
    },
    "ModifyBackupPolicy": {
        **_BUSY,
        "InvalidBackupRetentionPeriod.Malformed": "InvalidBackupRetentionPeriod.Malformed",
    },
    "ModifySecurityGroupConfiguration": {
        **_BUSY,
        "AssociatedEcsSecurityGroupIdQuotaExceed": "limit",
        "InvalidSecurityGroupId.NotFound": "InvalidSecurityGroupId.NotFound",
    },
    "RevokeAccountPrivilege": {
        **{code: text for code, text in _ACCOUNTS.items() if text is LATER},
        "LockTimeout": LATER,
        "Account.UpdateError": LATER,
        "SqlExcutionFailed": LATER,
        "IncorrectAccountStatus": LATER,
        "InvalidDB.NotFound": LATER,
        "InvalidDBName.NotFound": LATER,
        "InvalidAccountPrivilege.NotFound": LATER,
        "EngineNotSupported": LATER,
    },
    "DeleteAccount": {
        **_ACCOUNTS,
        "AccountActionForbidden": LATER,
        "Account.DelError": LATER,
        "Account.DeleteError": LATER,
        "IncorrectAccountStatus": LATER,
        "InvalidAccountName.NotFound": LATER,
    },
    "DeleteDBInstance": {
        **_BUSY,
        "OperationDenied.ReadDBInstanceStatus": LATER,
        "EngineMigration.ActionDisabled": LATER,
        "OperationDenied.DeletionProtection": "deletion protection",
        "GuardInstance.ReleaseFail": "GuardInstance.ReleaseFail",
        "InvalidReleasedKeepPolicy.Format": "InvalidReleasedKeepPolicy.Format",
    },
}
OPERATIONS: Final[dict[OperationKind, tuple[str, ...]]] = {
    OperationKind.PROVISION: ("CreateDBInstance", "DescribeDBInstanceAttribute"),
    OperationKind.BIND: (
        "CreateDatabase",
        "CreateAccount",
        "DescribeAccounts",
        "GrantAccountPrivilege",
    ),
    OperationKind.UPDATE: (
        "ModifySecurityGroupConfiguration",
        "ModifyBackupPolicy",
        "ModifySecurityIps",
        "DescribeDBInstanceAttribute",
        "ModifyDBInstanceSpec",
    ),
    OperationKind.UNBIND: ("DescribeAccounts", "RevokeAccountPrivilege", "DeleteAccount"),
    OperationKind.DEPROVISION: ("DeleteDBInstance", "DescribeDBInstanceAttribute"),
}
# A refusal that does not matter: the privilege ends with its account.
IGNORED: Final = {(OperationKind.UNBIND, "RevokeAccountPrivilege")}
CASES: Final = [
    pytest.param(kind, action, id=f"{kind}-{action}")
    for kind, actions in OPERATIONS.items()
    for action in actions
]


class Trial:
    """One kind of operation, again and again."""

    def __init__(self, driver: Driver, sandbox: Sandbox, kind: OperationKind) -> None:
        self.driver = driver
        self.sandbox = sandbox
        self.kind = kind
        self.of_instance = kind in {OperationKind.PROVISION, OperationKind.DEPROVISION}
        self.secrets: set[str] = set()
        self.before: list[Any] = []
        if not self.of_instance:
            driver.provision("i", PLAN)

    def begin(self, number: int) -> Operation:
        """Go to where the operation can begin, and return it."""
        driver, kind = self.driver, self.kind
        if kind is OperationKind.PROVISION:
            return driver.ordered("i", PLAN)
        if kind is OperationKind.DEPROVISION:
            driver.provision("i", PLAN)
        if kind is OperationKind.BIND:
            self.secrets.add(f"Chosen-{number}")
            return driver.binding("i", "b", Password=f"Chosen-{number}")
        if kind is OperationKind.UNBIND:
            self.secrets.add(driver.bind("i", "b").credentials["password"])
        self.before = self.sandbox.databases
        if kind is OperationKind.UPDATE:
            size = self.before[0]["storage"] + 5
            return driver.changed(
                "i",
                Storage=size,
                AllowedIPs=[f"10.0.0.{number}"],
                BackupRetentionDays=30 + number,
                SecurityGroupIDs=[f"sg-{number}"],
            )
        return Operation(kind, "i", "b" if kind is OperationKind.UNBIND else "")

    def run(self, operation: Operation, action: str, code: str) -> None:
        """Run it while the cloud answers with `code` once."""
        self.sandbox.control("DELETE", "faults")
        self.sandbox.fault(action, "error", code=code, status=400, message="said by the cloud")
        self.driver.run([operation])
        bought = len(self.sandbox.databases)
        assert bought <= 1, f"{code}: {bought} instances"
        for step in operation.steps:
            assert not any(secret in said(step) for secret in self.secrets), code

    def end(self, operation: Operation, code: str) -> None:
        """Take everything away again, and see that nothing is left."""
        if self.kind is OperationKind.UPDATE and isinstance(operation.end, Failed):
            assert operation.end.instance_usable, code
            assert self.sandbox.databases == self.before, code
        if self.kind in {OperationKind.BIND, OperationKind.UNBIND}:
            assert isinstance(self.driver.unbind("i", "b").end, Succeeded), code
            assert self.sandbox.databases[0]["accounts"] == [], code
        if self.of_instance:
            assert isinstance(self.driver.deprovision("i").end, Succeeded), code
            assert self.sandbox.empty, code

    def close(self) -> None:
        if not self.of_instance:
            self.driver.deprovision("i")
        assert self.sandbox.empty


def said(step: Step | TryAgainError) -> str:
    """Return what the platform's user, or the log, gets to see."""
    if isinstance(step, Failed | TryAgainError):
        return step.reason
    return str(step.resource) if isinstance(step, Succeeded) else step.description


@pytest.mark.parametrize(("kind", "action"), CASES)
def test_every_code_at_every_call(
    rds: Drive, sandbox: Sandbox, kind: OperationKind, action: str
) -> None:
    sandbox.settings(time_scale=0.0)
    driver = rds(ALIBROKER_POLL_INTERVAL="0.01", ALIBROKER_SETTLE_SECONDS="0.05", timeout=20)
    trial = Trial(driver, sandbox, kind)
    wrong: list[Any] = []
    hits = 0
    for number, (code, text) in enumerate({**COMMON, **OWN[action]}.items(), start=1):
        operation = trial.begin(number)
        trial.run(operation, action, code)
        hit = sandbox.hits()
        hits += hit
        end = operation.end
        passes = text is LATER or (kind, action) in IGNORED or not hit
        good = isinstance(end, Succeeded) if passes else text in getattr(end, "reason", "")
        if not good:
            wrong.append((code, end))
        sandbox.control("DELETE", "faults")
        trial.end(operation, code)
    trial.close()
    assert hits > 20
    assert wrong == []


@pytest.mark.parametrize(
    "code", ["InternalError", "ServiceUnavailable", "IncorrectDBInstanceState"]
)
@pytest.mark.parametrize("kind", list(OPERATIONS))
def test_an_answer_that_is_wrong_after_every_call_took_effect(
    rds: Drive, sandbox: Sandbox, kind: OperationKind, code: str
) -> None:
    sandbox.settings(time_scale=0.0)
    driver = rds(ALIBROKER_POLL_INTERVAL="0.01", ALIBROKER_SETTLE_SECONDS="0.05", timeout=20)
    trial = Trial(driver, sandbox, kind)
    operation = trial.begin(1)
    for action in OPERATIONS[kind]:
        sandbox.fault(action, "error", code=code, status=500, when="after")
    driver.run([operation])
    assert isinstance(operation.end, Succeeded)
    assert len(sandbox.databases) <= 1
    sandbox.control("DELETE", "faults")
    trial.end(operation, code)
    trial.close()


def test_what_cannot_be_listed_is_looked_at_one_by_one(rds: Drive, sandbox: Sandbox) -> None:
    sandbox.settings(time_scale=0.0)
    driver = rds(ALIBROKER_POLL_INTERVAL="0.01", ALIBROKER_SETTLE_SECONDS="0.05", timeout=20)
    operations = [driver.ordered(f"i{number}", PLAN) for number in range(2)]
    for operation in operations:
        driver.run([operation], steps=2)
    works = [driver.work(operation) for operation in operations]
    for code, text in COMMON.items():
        sandbox.fault("DescribeDBInstances", "error", code=code, status=400)
        if text is LATER:
            with pytest.raises(TryAgainError):
                driver.broker.observe(works)
        else:
            assert set(driver.broker.observe(works)) == {work.operation_id for work in works}
    assert sandbox.hits() == len(COMMON)
    driver.run(operations)
    driver.run([Operation(OperationKind.DEPROVISION, f"i{number}") for number in range(2)])
    assert sandbox.empty
