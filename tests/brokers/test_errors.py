"""What the cloud's answers mean, and what users are told."""

from __future__ import annotations

import pytest

from alibroker.brokers.alibabacloud.errors import Kind, cloud_error, failed, lost
from alibroker.brokers.alibabacloud.families import RULES
from alibroker.brokers.api import Failed, TryAgainError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("Throttling", Kind.THROTTLED),
        ("Throttling.User", Kind.THROTTLED),
        ("Throttling.Api", Kind.THROTTLED),
        ("Rejected.Throttling", Kind.THROTTLED),
        ("TotalQpsLimitExceeded", Kind.THROTTLED),
        ("DownloadTrafficRateLimitExceeded", Kind.THROTTLED),
        ("SystemBusy", Kind.UNKNOWN),
        ("ServiceUnavailable", Kind.UNKNOWN),
        ("InternalError", Kind.UNKNOWN),
        ("SDK.UnknownServerError", Kind.UNKNOWN),
        ("", Kind.UNKNOWN),
        ("IncorrectDBInstanceState", Kind.RETRY),
        ("OperationDenied.DBInstanceStatus", Kind.RETRY),
        ("OperationDenied.ReadDBInstanceStatus", Kind.RETRY),
        ("OperationDenied.DBStatus", Kind.RETRY),
        ("DeleteConflict.User.AccessKey", Kind.RETRY),
        ("DeleteConflict.User.Novelty", Kind.FAILED),
        ("GeneralIns.Creating", Kind.RETRY),
        ("SignatureNonceUsed", Kind.RETRY),
        ("InvalidSecurityToken.Expired", Kind.RETRY),
        ("InvalidAccessKeyId.NotFound", Kind.RETRY),
        ("InvalidTimeStamp.Expired", Kind.RETRY),
        ("InvalidDBInstanceId.NotFound", Kind.NOT_FOUND),
        ("InvalidDBInstanceName.NotFound", Kind.NOT_FOUND),
        ("InvalidDB.NotFound", Kind.NOT_FOUND),
        ("InvalidVpcID.NotFound", Kind.NOT_FOUND),
        ("Forbidden.VpcNotFound", Kind.NOT_FOUND),
        ("EntityNotExist.User", Kind.NOT_FOUND),
        ("EntityNotExist.User.AccessKey", Kind.NOT_FOUND),
        ("NoSuchBucket", Kind.NOT_FOUND),
        ("InvalidAccountName.Duplicate", Kind.EXISTS),
        ("EntityAlreadyExists.User.Policy", Kind.EXISTS),
        ("BucketAlreadyExists", Kind.EXISTS),
        ("Forbidden.RAM", Kind.DENIED),
        ("Forbedden.NotSupportRAM", Kind.DENIED),
        ("NoPermission", Kind.DENIED),
        ("NoPermission.RAM", Kind.DENIED),
        ("UserDisable", Kind.ACCOUNT),
        ("InDebtOverdue", Kind.ACCOUNT),
        ("AbnormalBucketOwnerStatus", Kind.ACCOUNT),
        ("ArrearageOrderExists", Kind.ACCOUNT),
        ("BucketNotBelongTo", Kind.DENIED),
        ("AccessDenied", Kind.DENIED),
        ("Pay.InsufficientBalance", Kind.ACCOUNT),
        ("InsufficientBalance", Kind.ACCOUNT),
        ("InsufficientResourceCapacity", Kind.PLACE),
        ("PAYFOR.CREDIT_PAY_INSUFFICIENT_BALANCE", Kind.ACCOUNT),
        ("InsufficientAvailableQuota", Kind.ACCOUNT),
        ("OperationDenied.InstanceLocked", Kind.ACCOUNT),
        ("Forbidden.RiskControl", Kind.ACCOUNT),
        ("Forbidden.Authentication", Kind.ACCOUNT),
        ("Forbidden.InstanceNotFound", Kind.NOT_FOUND),
        ("Forbidden.RegionNotFound", Kind.FAILED),
        ("QuotaExceeded.CreateInstance", Kind.QUOTA),
        ("DependencyViolation", Kind.FAILED),
        ("InvaildEngineInRegion.NotAvailable", Kind.FAILED),
        ("CommodityServiceCalling.Exception", Kind.UNKNOWN),
        ("LimitExceeded.User", Kind.QUOTA),
        ("AccountLimitExceeded", Kind.QUOTA),
        ("TooManyBuckets", Kind.QUOTA),
        ("OperationDenied.DeletionProtection", Kind.FAILED),
        ("InvalidDBInstanceClass.Malformed", Kind.FAILED),
        ("BucketNotEmpty", Kind.FAILED),
        ("PublicEndpointForbidden", Kind.FAILED),
        ("FileImmutable", Kind.FAILED),
        ("SomethingNobodyHasSeen", Kind.FAILED),
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_the_code_alone_says_what_an_error_is(code: str, kind: Kind, status: int) -> None:
    error = cloud_error(product="Rds", action="DoThing", code=code, message="", status=status)
    assert error.kind is kind


# What the provider's RDS resources try again (`IsExpectedErrors` beside `NeedRetry`, and the list
# OperationDeniedDBStatus), but for what is about read-only instances and nodes.
TRIED_AGAIN = (
    *(
        "ServiceUnavailable",
        "Rejected.Throttling",
        "Throttling",
        "Throttling.User",
        "ThrottlingUser",
    ),
    *("LockTimeout", "InstanceConnectTimeoutFault", "ConcurrentTaskExceeded", "InternalError"),
    *("OperationDenied.DBStatus", "OperationDenied.DBInstanceStatus", "Database.ConnectError"),
    *("OperationDenied.DBClusterStatus", "OperationDenied.OutofUsage", "IncorrectDBInstanceState"),
    *("OperationDenied.ReadDBInstanceStatus", "OperationDenied.MasterDBInstanceState"),
    *("OperationDenied.PrimaryDBInstanceStatus", "InvalidOrderTask.NotSupport"),
    *("SYSTEM.CONCURRENT_OPERATE", "IncorrectInstanceStatus", "System.Busy"),
)


@pytest.mark.parametrize("code", TRIED_AGAIN)
def test_what_terraform_tries_again_is_tried_again(code: str) -> None:
    error = cloud_error(product="Rds", action="CreateAccount", code=code, message="")
    with pytest.raises(TryAgainError):
        failed(error)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("UserDisable", "overdue or stopped"),
        ("Forbidden.RiskControl", "support"),
        ("RegionUnauthorized", "ALIBROKER_REGION"),
        ("RegionDissolvedEOM", "ALIBROKER_REGION"),
        ("TRADE_WAIT_DISTRIBUTOR_AUDIT", "approve"),
        ("ByokNotAuthorizedToRds", "KMS"),
        ("OperationDenied.InstanceLocked", "storage is full"),
        ("Order.NoRealNameAuthentication", "real-name"),
        ("InsufficientAvailableQuota", "balance"),
    ],
)
def test_what_only_the_owner_can_change_is_no_missing_permission(code: str, remedy: str) -> None:
    error = cloud_error(product="Rds", action="CreateDBInstance", code=code, message="Forbidden.")
    assert remedy in str(error)
    assert "RAM identity" not in str(error)
    assert isinstance(failed(error), Failed)


def test_every_rule_has_a_source_and_matches_what_it_stands_for() -> None:
    for rule in RULES:
        assert rule.source
        assert rule.message or rule.kind in {Kind.NOT_FOUND, Kind.EXISTS, Kind.DENIED, Kind.RETRY}


def test_a_code_can_mean_something_else_elsewhere() -> None:
    """A bare OperationDenied says of orders that the resource is out of usage."""
    for action, kind in (("CreateDBInstance", Kind.PLACE), ("CreateAccount", Kind.FAILED)):
        error = cloud_error(product="Rds", action=action, code="OperationDenied", message="")
        assert error.kind is kind


def test_an_unknown_code_with_a_server_error_may_have_taken_effect() -> None:
    error = cloud_error(product="Rds", action="DoThing", code="New", message="", status=502)
    assert error.kind is Kind.UNKNOWN


def test_an_invalid_parameter_of_a_description_is_a_passing_state() -> None:
    for action, kind in (("DescribeDBInstances", Kind.RETRY), ("CreateAccount", Kind.FAILED)):
        error = cloud_error(product="Rds", action=action, code="InvalidParameter", message="")
        assert error.kind is kind


def test_a_missing_permission_is_named() -> None:
    error = cloud_error(
        product="Rds", action="CreateDBInstance", code="Forbidden.RAM", message="User not ..."
    )
    assert "rds:CreateDBInstance" in str(error)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("Pay.InsufficientBalance", "top it up"),
        ("InsufficientResourceCapacity", "another zone"),
        ("TooManyBuckets", "limit"),
        ("InDebt", "overdue"),
        ("BucketDisable", "stopped"),
        ("OperationDenied.DeletionProtection", "turn it off"),
        ("BucketNotEmpty", "empty it"),
    ],
)
def test_a_user_is_told_what_to_do(code: str, advice: str) -> None:
    error = cloud_error(product="Rds", action="DoThing", code=code, message="Nope")
    end = failed(error)
    assert isinstance(end, Failed)
    assert advice in end.reason
    assert code in end.reason


def test_the_request_id_is_there_for_the_vendors_support() -> None:
    error = cloud_error(product="Rds", action="Do", code="New", message="No.", request_id="4F0E")
    assert "4F0E" in str(error)
    assert "No." in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "Specified signature is not matched. server string to sign is:POST&%2F&AccountPassword%3Dx",
        "see https://rds.aliyuncs.com/?AccountPassword=x",
        "bad request /?Action=CreateAccount&AccountPassword=x",
    ],
)
def test_a_message_that_may_hold_what_we_sent_is_not_repeated(message: str) -> None:
    error = cloud_error(product="Rds", action="CreateAccount", code="New", message=message)
    assert "AccountPassword" not in str(error)


@pytest.mark.parametrize("code", ["Throttling", "InternalError", "IncorrectDBInstanceState"])
def test_what_may_pass_is_tried_again_and_not_before_the_cloud_says(code: str) -> None:
    error = cloud_error(product="Rds", action="DoThing", code=code, message="", after=3.5)
    with pytest.raises(TryAgainError) as again:
        failed(error)
    assert again.value.after == 3.5


def test_an_exception_without_an_answer_shows_nothing_but_its_type() -> None:
    error = lost("CreateAccount", OSError("POST /?AccountPassword=x"))
    assert error.kind is Kind.UNKNOWN
    assert "AccountPassword" not in str(error)
    assert "OSError" in str(error)
