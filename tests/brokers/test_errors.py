"""What the cloud's answers mean, and what users are told."""

from __future__ import annotations

import pytest

from alibroker.brokers.alibabacloud.errors import Kind, cloud_error, failed, lost
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
        ("UserDisable", Kind.QUOTA),
        ("InDebtOverdue", Kind.QUOTA),
        ("AbnormalBucketOwnerStatus", Kind.QUOTA),
        ("ArrearageOrderExists", Kind.QUOTA),
        ("BucketNotBelongTo", Kind.DENIED),
        ("AccessDenied", Kind.DENIED),
        ("Pay.InsufficientBalance", Kind.QUOTA),
        ("InsufficientBalance", Kind.QUOTA),
        ("InsufficientResourceCapacity", Kind.PLACE),
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
