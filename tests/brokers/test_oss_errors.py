"""Every error code that OSS and RAM can answer with, at every step: all ends, nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from alibroker.brokers.api import Failed, Succeeded
from alibroker.brokers.driver import Driver, Operation

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]

PLAN = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"
ANY = {
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 400,
}
RAM = ANY | {
    "Throttling.User": 400,
    "NoPermission": 403,
    "NotAuthorized": 403,
    "InvalidAccessKeyId.NotFound": 404,
    "InvalidSecurityToken.Expired": 403,
    "InvalidParameter.UserName.InvalidChars": 400,
    "MissingUserName": 400,
}
OSS = ANY | {
    "ServiceBusy": 503,
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "SecurityTokenExpired": 403,
    "RequestTimeTooSkewed": 403,
    "NoSuchBucket": 404,
    "InvalidArgument": 400,
    "MalformedXML": 400,
    "SecondLevelDomainForbidden": 403,
}
OWN = {
    "ram:CreateUser": {"EntityAlreadyExists.User": 409, "LimitExceeded.User": 409},
    "ram:CreatePolicy": {
        "EntityAlreadyExists.Policy": 409,
        "LimitExceeded.Policy": 409,
        "MalformedPolicyDocument": 400,
        "InvalidParameter.PolicyDocument": 400,
    },
    "ram:AttachPolicyToUser": {
        "EntityNotExist.User": 404,
        "EntityNotExist.Policy": 404,
        "EntityAlreadyExists.User.Policy": 409,
        "LimitExceeded.User.Policy": 409,
    },
    "ram:CreateAccessKey": {"EntityNotExist.User": 404, "LimitExceeded.User.AccessKey": 409},
    "ram:ListAccessKeys": {"EntityNotExist.User": 404},
    "ram:DeleteAccessKey": {"EntityNotExist.User.AccessKey": 404},
    "ram:DetachPolicyFromUser": {"EntityNotExist.User.Policy": 404, "EntityNotExist.Policy": 404},
    "ram:DeleteUser": {
        "EntityNotExist.User": 404,
        "DeleteConflict.User.AccessKey": 409,
        "DeleteConflict.User.Policy": 409,
        "DeleteConflict.User.Group": 409,
    },
    "ram:DeletePolicy": {
        "EntityNotExist.Policy": 404,
        "DeleteConflict.Policy.User": 409,
        "DeleteConflict.Policy.Version": 409,
    },
    "ram:ListPolicies": {"InvalidParameter.Marker": 400},
    "oss:PutBucket": {
        "BucketAlreadyExists": 409,
        "TooManyBuckets": 400,
        "InvalidBucketName": 400,
    },
    "oss:GetBucketInfo": {},
    "oss:PutBucketPublicAccessBlock": {},
    "oss:PutBucketTagging": {"InvalidTag": 400},
    "oss:PutBucketAcl": {},
    "oss:PutBucketVersioning": {},
    "oss:ListObjects": {"NoSuchKey": 404},
    "oss:DeleteBucket": {"BucketNotEmpty": 409},
    "oss:GetBucketTagging": {"NoSuchTagSet": 404},
    "oss:ListObjectVersions": {},
    "oss:DeleteMultipleObjects": {"FileImmutable": 409},
    "oss:ListMultipartUploads": {},
    "oss:AbortMultipartUpload": {"NoSuchUpload": 404},
}


def finish(driver: Driver, operation: Operation, undo: Callable[[], Operation]) -> bool:
    """Do what the engine does with an operation that failed; return whether it succeeded."""
    driver.run([operation])
    if isinstance(operation.end, Succeeded):
        return True
    assert isinstance(operation.end, Failed)
    assert operation.end.reason
    repeated = undo()
    # The error was a passing one, so that what was refused can be done now.
    assert isinstance(repeated.end, Succeeded), repeated.steps
    return False


def live(driver: Driver, sandbox: Sandbox, **more: str) -> None:
    """Go through a life in which one call goes wrong."""

    def deprovision() -> Operation:
        return driver.deprovision("i")

    def unbind() -> Operation:
        return driver.unbind("i", "b")

    parameters = {"ACL": "public-read", "Versioning": True, "DeletionPolicy": "delete", **more}
    begun = driver.ordered("i", PLAN, **parameters)
    if not finish(driver, begun, deprovision):
        assert sandbox.empty
        return
    if finish(driver, driver.binding("i", "b"), unbind):
        ended = unbind()
        if isinstance(ended.end, Failed):
            assert isinstance(unbind().end, Succeeded)
    assert sandbox.ram == ([], [])
    name = driver.resource("i")["bucket"]
    sandbox.control("POST", "objects", {"bucket": name, "objects": 2, "uploads": 1})
    ended = deprovision()
    if isinstance(ended.end, Failed):
        ended = deprovision()
    assert isinstance(ended.end, Succeeded), ended.steps


def inject(oss: Drive, sandbox: Sandbox, action: str, before: int = 0, **more: str) -> None:
    """Live once for each error, which hits after `before` calls that went well."""
    # Where a lost request may still take effect the broker waits for it; none does here.
    driver = oss(ALIBROKER_SETTLE_SECONDS="0.05", ALIBROKER_POLL_INTERVAL="0.02")
    for code, status in (OWN[action] | (RAM if action.startswith("ram:") else OSS)).items():
        sandbox.control("DELETE", "faults")
        # That something is gone, or attached, is said of what is so.
        late = code.startswith(("EntityNotExist", "NoSuchBucket")) and ":De" in action
        late = late or (code.startswith("EntityAlreadyExists") and ":Attach" in action)
        when = "after" if late else "before"
        # The first attempt to delete the bucket finds that it is not empty.
        skip = before + int((action, code) == ("oss:DeleteBucket", "NoSuchBucket"))
        sandbox.fault(
            action, "error", status=status, code=code, message="a fault", when=when, skip=skip
        )
        live(driver, sandbox, **more)
        assert sandbox.empty, code
        assert sandbox.hits() == 1, code
        driver.instances.clear()
        driver.bindings.clear()


@pytest.mark.parametrize("action", [action for action in OWN if action != "oss:GetBucketInfo"])
def test_any_error_of_any_call_ends_well_and_leaves_nothing(
    oss: Drive, sandbox: Sandbox, action: str
) -> None:
    inject(oss, sandbox, action)


@pytest.mark.parametrize(
    ("action", "before"),
    [
        *(("oss:GetBucketInfo", before) for before in range(4)),
        *(("oss:GetBucketTagging", before) for before in range(2)),
        ("oss:PutBucket", 0),
        ("oss:PutBucketTagging", 0),
        ("ram:ListPolicies", 0),
        ("ram:CreatePolicy", 0),
        ("ram:DeletePolicy", 0),
    ],
)
def test_a_chosen_name_survives_any_error_too(
    oss: Drive, sandbox: Sandbox, action: str, before: int
) -> None:
    inject(oss, sandbox, action, before, BucketName="a-chosen-name")
