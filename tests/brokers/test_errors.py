"""What the cloud's answers mean, and what users are told."""

from __future__ import annotations

import pytest

from alibroker.brokers.alibabacloud.errors import Kind, cloud_error, failed, lost
from alibroker.brokers.alibabacloud.families import COMMON, rule
from alibroker.brokers.alibabacloud.infrastructure import RAM, STS, VPC
from alibroker.brokers.alibabacloud.orders import ORDER_RULES
from alibroker.brokers.alibabacloud.product import Product
from alibroker.brokers.api import Failed, TryAgainError
from alibroker.brokers.oss.product import OSS
from alibroker.brokers.rds.product import RDS

PRODUCTS = (RDS, OSS, RAM, STS, VPC)


@pytest.mark.parametrize(
    ("product", "code", "kind"),
    [
        (RDS, "Throttling", Kind.THROTTLED),
        (RDS, "Throttling.User", Kind.THROTTLED),
        (RDS, "Throttling.Api", Kind.THROTTLED),
        (RDS, "Rejected.Throttling", Kind.THROTTLED),
        (OSS, "TotalQpsLimitExceeded", Kind.THROTTLED),
        (OSS, "DownloadTrafficRateLimitExceeded", Kind.THROTTLED),
        (RDS, "SystemBusy", Kind.UNKNOWN),
        (RDS, "ServiceUnavailable", Kind.UNKNOWN),
        (RDS, "InternalError", Kind.UNKNOWN),
        (RDS, "SDK.UnknownServerError", Kind.UNKNOWN),
        (RDS, "", Kind.UNKNOWN),
        (RDS, "IncorrectDBInstanceState", Kind.RETRY),
        (RDS, "OperationDenied.DBInstanceStatus", Kind.RETRY),
        (RDS, "OperationDenied.ReadDBInstanceStatus", Kind.RETRY),
        (RDS, "OperationDenied.DBStatus", Kind.RETRY),
        (RAM, "DeleteConflict.User.AccessKey", Kind.RETRY),
        (RAM, "DeleteConflict.User.Novelty", Kind.FAILED),
        (RDS, "GeneralIns.Creating", Kind.RETRY),
        (RDS, "SignatureNonceUsed", Kind.RETRY),
        (RDS, "InvalidSecurityToken.Expired", Kind.RETRY),
        (RDS, "InvalidAccessKeyId.NotFound", Kind.RETRY),
        (RDS, "InvalidTimeStamp.Expired", Kind.RETRY),
        (RDS, "InvalidDBInstanceId.NotFound", Kind.NOT_FOUND),
        (RDS, "InvalidDBInstanceName.NotFound", Kind.NOT_FOUND),
        (RDS, "InvalidDB.NotFound", Kind.NOT_FOUND),
        (RDS, "InvalidVpcID.NotFound", Kind.NOT_FOUND),
        (RDS, "Forbidden.VpcNotFound", Kind.NOT_FOUND),
        (RAM, "EntityNotExist.User", Kind.NOT_FOUND),
        (RAM, "EntityNotExist.User.AccessKey", Kind.NOT_FOUND),
        (OSS, "NoSuchBucket", Kind.NOT_FOUND),
        (RDS, "InvalidAccountName.Duplicate", Kind.EXISTS),
        (RAM, "EntityAlreadyExists.User.Policy", Kind.EXISTS),
        (OSS, "BucketAlreadyExists", Kind.EXISTS),
        (RDS, "Forbidden.RAM", Kind.DENIED),
        (RDS, "Forbedden.NotSupportRAM", Kind.DENIED),
        (RDS, "NoPermission", Kind.DENIED),
        (RDS, "NoPermission.RAM", Kind.DENIED),
        (RDS, "UserDisable", Kind.ACCOUNT),
        (RDS, "InDebtOverdue", Kind.ACCOUNT),
        (OSS, "AbnormalBucketOwnerStatus", Kind.ACCOUNT),
        (RDS, "ArrearageOrderExists", Kind.ACCOUNT),
        (OSS, "BucketNotBelongTo", Kind.DENIED),
        (OSS, "AccessDenied", Kind.DENIED),
        (RDS, "Pay.InsufficientBalance", Kind.ACCOUNT),
        (RDS, "InsufficientBalance", Kind.ACCOUNT),
        (RDS, "InsufficientResourceCapacity", Kind.PLACE),
        (RDS, "PAYFOR.CREDIT_PAY_INSUFFICIENT_BALANCE", Kind.ACCOUNT),
        (RDS, "InsufficientAvailableQuota", Kind.ACCOUNT),
        (RDS, "OperationDenied.InstanceLocked", Kind.ACCOUNT),
        (RDS, "Forbidden.RiskControl", Kind.ACCOUNT),
        (RDS, "Forbidden.Authentication", Kind.ACCOUNT),
        (RDS, "Forbidden.InstanceNotFound", Kind.NOT_FOUND),
        (RDS, "Forbidden.RegionNotFound", Kind.FAILED),
        (RDS, "QuotaExceeded.CreateInstance", Kind.QUOTA),
        (RDS, "DependencyViolation", Kind.FAILED),
        (RDS, "InvaildEngineInRegion.NotAvailable", Kind.FAILED),
        (RDS, "CommodityServiceCalling.Exception", Kind.UNKNOWN),
        (RAM, "LimitExceeded.User", Kind.QUOTA),
        (RDS, "AccountLimitExceeded", Kind.QUOTA),
        (OSS, "TooManyBuckets", Kind.QUOTA),
        (RDS, "OperationDenied.DeletionProtection", Kind.FAILED),
        (RDS, "InvalidDBInstanceClass.Malformed", Kind.FAILED),
        (OSS, "BucketNotEmpty", Kind.FAILED),
        (OSS, "PublicEndpointForbidden", Kind.FAILED),
        (OSS, "FileImmutable", Kind.FAILED),
        (VPC, "Forbidden.VpcNotFound", Kind.NOT_FOUND),
        (STS, "EntityNotExist.Role", Kind.NOT_FOUND),
        # Found in the lists of the single actions.
        (RDS, "Account.DelError", Kind.RETRY),
        (RDS, "Account.DeleteError", Kind.RETRY),
        (RDS, "Account.QueryError", Kind.RETRY),
        (RDS, "InvalideStatus.Format", Kind.RETRY),
        (RDS, "SqlExecuteFailedOrTimeout", Kind.UNKNOWN),
        (RDS, "NetworkOrSqlTimeoutError", Kind.UNKNOWN),
        (RDS, "IO.Exception", Kind.UNKNOWN),
        (RDS, "Price.CommoditySys", Kind.UNKNOWN),
        (RDS, "OrdTCommodityQueryError", Kind.UNKNOWN),
        (RDS, "ORD.S.QUERY.PROD.ERROR", Kind.UNKNOWN),
        (RDS, "System.SaleValidateFailed", Kind.UNKNOWN),
        (RDS, "CallLxSdkFailed", Kind.UNKNOWN),
        (RDS, "InvalidZone.NotSupported", Kind.PLACE),
        (RDS, "InsufficientResourceCapacityCheck", Kind.PLACE),
        (RDS, "InvalidUserOperatorPermission", Kind.DENIED),
        (RDS, "NoPermission.SystemTag", Kind.FAILED),
        (RDS, "Pay.AmountLimitExceeded", Kind.ACCOUNT),
        (RDS, "SomethingNobodyHasSeen", Kind.FAILED),
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_the_code_alone_says_what_an_error_is(
    product: Product, code: str, kind: Kind, status: int
) -> None:
    error = cloud_error(product=product, action="DoThing", code=code, message="", status=status)
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
    error = cloud_error(product=RDS, action="CreateAccount", code=code, message="")
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
        ("Risk.RiskControlRejection", "support"),
        ("RR309", "support"),
        ("BasicInfoUncompleted", "complete it"),
        ("IncompleteTaxInfo", "complete it"),
        ("pay.noCreditCard", "means of payment"),
        ("noAvailablePaymentMethod", "means of payment"),
        ("InvalidPaymentMethod.Missing", "means of payment"),
        ("Pay.AmountLimitExceeded", "means of payment"),
        ("InsuffcientBalanceOrBankAccount", "balance"),
        ("CreditPayInsufficientBalance", "balance"),
        ("AccountMoneyValidate.error", "balance"),
        ("OrderStatus.UnPaid", "unpaid"),
        ("Order.InstHasUnsettledBills", "unpaid"),
        ("ContainForbiddenLabelError", "reseller"),
        ("RegionEndTimeDissolvedIndia", "ALIBROKER_REGION"),
        ("InvalidKmsKey", "KMS"),
        ("InvalidClusterKms", "KMS"),
    ],
)
def test_what_only_the_owner_can_change_is_no_missing_permission(code: str, remedy: str) -> None:
    error = cloud_error(product=RDS, action="CreateDBInstance", code=code, message="Forbidden.")
    assert remedy in str(error)
    assert "RAM identity" not in str(error)
    assert isinstance(failed(error), Failed)


def test_every_rule_has_a_source_and_a_remedy_where_the_user_has_one() -> None:
    speechless = {Kind.NOT_FOUND, Kind.EXISTS, Kind.DENIED, Kind.RETRY, Kind.FAILED}
    for one in (*COMMON, *ORDER_RULES, *(one for product in PRODUCTS for one in product.rules)):
        assert one.source
        assert one.message or one.kind in speechless


def test_a_product_brings_its_rules_along_and_they_are_nobody_elses() -> None:
    """The same code, of the same action, means what the product says that was asked."""
    tea = Product(name="Tea", rules=(rule(Kind.EXISTS, "", "a menu", "InternalError", "Steeped"),))
    for product, code, kind in (
        (tea, "InternalError", Kind.EXISTS),
        (RDS, "InternalError", Kind.UNKNOWN),
        (tea, "Steeped", Kind.EXISTS),
        (RDS, "Steeped", Kind.FAILED),
        (tea, "IncorrectDBInstanceState", Kind.FAILED),
        (tea, "Throttling.User", Kind.THROTTLED),
        (OSS, "InvalidDBInstanceId.NotFound", Kind.FAILED),
        (RDS, "NoSuchBucket", Kind.FAILED),
        (VPC, "EntityNotExist.User", Kind.FAILED),
    ):
        error = cloud_error(product=product, action="CreateAccount", code=code, message="")
        assert error.kind is kind, (product.name, code)


def test_what_all_products_share_names_no_product() -> None:
    """Whose codes they are is said by the product: another one would be read wrongly by them."""
    for one in COMMON:
        for word in ("DBInstance", "Bucket", "Account.", "Entity", "Vpc", "Vswitch", "Tair"):
            assert word not in one.codes.pattern


def test_the_permission_that_a_product_misses_has_its_own_prefix() -> None:
    error = cloud_error(
        product=Product(name="R-kvstore"), action="CreateInstance", code="NoPermission", message=""
    )
    assert "allow r-kvstore:CreateInstance" in str(error)


def test_a_code_can_mean_something_else_elsewhere() -> None:
    """A bare OperationDenied says of orders that the resource is out of usage."""
    for action, kind in (("CreateDBInstance", Kind.PLACE), ("CreateAccount", Kind.FAILED)):
        error = cloud_error(product=RDS, action=action, code="OperationDenied", message="")
        assert error.kind is kind


def test_an_unknown_code_with_a_server_error_may_have_taken_effect() -> None:
    error = cloud_error(product=RDS, action="DoThing", code="New", message="", status=502)
    assert error.kind is Kind.UNKNOWN


def test_an_invalid_parameter_of_a_description_is_a_passing_state() -> None:
    for action, kind in (("DescribeDBInstances", Kind.RETRY), ("CreateAccount", Kind.FAILED)):
        error = cloud_error(product=RDS, action=action, code="InvalidParameter", message="")
        assert error.kind is kind


def test_a_missing_permission_is_named() -> None:
    error = cloud_error(
        product=RDS, action="CreateDBInstance", code="Forbidden.RAM", message="User not ..."
    )
    assert "rds:CreateDBInstance" in str(error)


@pytest.mark.parametrize(
    ("product", "code", "advice"),
    [
        (RDS, "Pay.InsufficientBalance", "top it up"),
        (RDS, "InsufficientResourceCapacity", "another zone"),
        (OSS, "TooManyBuckets", "limit"),
        (OSS, "InDebt", "overdue"),
        (OSS, "BucketDisable", "stopped"),
        (RDS, "OperationDenied.DeletionProtection", "turn it off"),
        (OSS, "BucketNotEmpty", "empty it"),
    ],
)
def test_a_user_is_told_what_to_do(product: Product, code: str, advice: str) -> None:
    error = cloud_error(product=product, action="DoThing", code=code, message="Nope")
    end = failed(error)
    assert isinstance(end, Failed)
    assert advice in end.reason
    assert code in end.reason


def test_the_request_id_is_there_for_the_vendors_support() -> None:
    error = cloud_error(product=RDS, action="Do", code="New", message="No.", request_id="4F0E")
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
    error = cloud_error(product=RDS, action="CreateAccount", code="New", message=message)
    assert "AccountPassword" not in str(error)


@pytest.mark.parametrize("code", ["Throttling", "InternalError", "IncorrectDBInstanceState"])
def test_what_may_pass_is_tried_again_and_not_before_the_cloud_says(code: str) -> None:
    error = cloud_error(product=RDS, action="DoThing", code=code, message="", after=3.5)
    with pytest.raises(TryAgainError) as again:
        failed(error)
    assert again.value.after == 3.5


def test_an_exception_without_an_answer_shows_nothing_but_its_type() -> None:
    error = lost("CreateAccount", OSError("POST /?AccountPassword=x"))
    assert error.kind is Kind.UNKNOWN
    assert "AccountPassword" not in str(error)
    assert "OSError" in str(error)
