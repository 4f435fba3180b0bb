"""How buckets are made and changed: every parameter, in creation and in place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import oss2
import pytest

from alibroker.brokers.api import NOTHING, Failed, OperationKind, Succeeded
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import checked
from alibroker.brokers.driver import Driver, Operation

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]

DEFAULT = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
SELF_DEFINE = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"
RULE = {
    "Prefix": "logs/",
    "ExpirationDays": 30,
    "NoncurrentExpirationDays": 7,
    "AbortUploadsAfterDays": 3,
    "Transitions": [{"Days": 10, "StorageClass": "IA"}],
}
CORS = {
    "AllowedOrigins": ["https://example.com"],
    "AllowedMethods": ["GET", "PUT"],
    "AllowedHeaders": ["*"],
    "MaxAgeSeconds": 60,
}


Updates = Callable[..., Operation]


@pytest.fixture
def driver(oss: Drive) -> Driver:
    return oss(twice=True)


@pytest.fixture
def update(driver: Driver) -> Updates:
    """Return a function that updates the instance `i`."""
    return functools.partial(driver.update, "i")


@pytest.fixture
def bucket(driver: Driver, sandbox: Sandbox) -> Iterator[Callable[[], oss2.Bucket]]:
    """Return a function that opens the bucket of the instance `i` as the account's owner."""
    session = oss2.Session()
    session.session.trust_env = False
    auth = oss2.AuthV4("testid", "testsecret")

    def open_bucket() -> oss2.Bucket:
        name = driver.resource("i")["bucket"]
        return oss2.Bucket(auth, sandbox.inside, name, region="cn-hangzhou", session=session)

    yield open_bucket
    session.session.close()


@pytest.fixture(autouse=True)
def _clean(driver: Driver, sandbox: Sandbox) -> Iterator[None]:
    yield
    if "i" in driver.instances:
        assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def blocked(bucket: oss2.Bucket) -> bool:
    return bool(bucket.get_bucket_public_access_block().block_public_access)


def check_lifecycle(bucket: oss2.Bucket) -> None:
    (rule,) = bucket.get_bucket_lifecycle().rules
    assert (rule.prefix, rule.expiration.days) == ("logs/", 30)
    assert rule.noncurrent_version_expiration.noncurrent_days == 7
    assert rule.abort_multipart_upload.days == 3
    (transition,) = rule.storage_transitions
    assert (transition.days, transition.storage_class) == (10, "IA")


def check_cors(bucket: oss2.Bucket) -> None:
    (rule,) = bucket.get_bucket_cors().rules
    assert rule.allowed_origins == ["https://example.com"]
    assert sorted(rule.allowed_methods) == ["GET", "PUT"]
    assert rule.max_age_seconds == 60


def test_a_bucket_is_made_as_the_parameters_say(
    driver: Driver, bucket: Callable[[], oss2.Bucket]
) -> None:
    parameters: dict[str, Any] = {
        "BucketPrefix": "my-app",
        "Region": "cn-hangzhou",
        "StorageClass": "IA",
        "Redundancy": "ZRS",
        "ACL": "public-read",
        "Versioning": True,
        "Encryption": "AES256",
        "Lifecycle": [RULE],
        "Cors": [CORS],
        "Tags": {"team": "blue", "alibroker": "not-theirs"},
    }
    end = driver.provision("i", SELF_DEFINE, **parameters).end
    assert isinstance(end, Succeeded), end
    mine = bucket()
    assert mine.bucket_name.startswith("my-app-")
    info = mine.get_bucket_info()
    assert (info.storage_class, info.data_redundancy_type) == ("IA", "ZRS")
    assert (info.acl.grant, info.versioning_status) == ("public-read", "Enabled")
    assert info.bucket_encryption_rule.sse_algorithm == "AES256"
    check_lifecycle(mine)
    check_cors(mine)
    tags = mine.get_bucket_tagging().tag_set.tagging_rule
    assert (tags["team"], tags["alibroker"]) == ("blue", "alibroker")
    assert not blocked(mine)


def test_public_access_is_blocked_unless_asked_otherwise(
    driver: Driver, bucket: Callable[[], oss2.Bucket]
) -> None:
    driver.provision("i", SELF_DEFINE)
    assert blocked(bucket())
    driver.deprovision("i")
    driver.provision("i", SELF_DEFINE, BlockPublicAccess=False)
    assert not blocked(bucket())
    assert bucket().get_bucket_acl().acl == "private"
    driver.deprovision("i")
    operation = driver.provision("i", SELF_DEFINE, BlockPublicAccess=True, Acl="public-read")
    assert isinstance(operation.end, Failed)
    assert "exclude each other" in operation.end.reason


def test_a_bucket_is_changed_in_place_and_back(
    driver: Driver, update: Updates, bucket: Callable[[], oss2.Bucket]
) -> None:
    driver.provision("i", SELF_DEFINE)
    mine = bucket()
    mine.put_object("x", b"1")
    changes: dict[str, Any] = {
        "ACL": "public-read",
        "Versioning": True,
        "Encryption": "KMS",
        "KmsKeyId": "key-1",
        "Lifecycle": [RULE],
        "Cors": [CORS],
        "Tags": {"team": "blue"},
    }
    assert isinstance(update(**changes).end, Succeeded)
    info = mine.get_bucket_info()
    assert (info.acl.grant, info.versioning_status) == ("public-read", "Enabled")
    assert info.bucket_encryption_rule.sse_algorithm == "KMS"
    assert not blocked(mine)
    check_lifecycle(mine)
    check_cors(mine)
    assert mine.get_bucket_tagging().tag_set.tagging_rule["team"] == "blue"

    back: dict[str, Any] = {
        "ACL": "private",
        "Versioning": False,
        "Encryption": "none",
        "Lifecycle": [],
        "Cors": [],
        "Tags": {},
    }
    assert isinstance(update(**back).end, Succeeded)
    info = mine.get_bucket_info()
    assert (info.acl.grant, info.versioning_status) == ("private", "Suspended")
    assert blocked(mine)
    with pytest.raises(oss2.exceptions.NoSuchLifecycle):
        mine.get_bucket_lifecycle()
    with pytest.raises(oss2.exceptions.NoSuchCors):
        mine.get_bucket_cors()
    tags = mine.get_bucket_tagging().tag_set.tagging_rule
    assert "team" not in tags
    assert tags["alibroker-instance"] == "i"
    assert mine.get_object("x").read() == b"1"
    versions = mine.list_object_versions()
    for one in (*versions.versions, *versions.delete_marker):
        mine.delete_object(one.key, params={"versionId": one.versionid})


def test_both_spellings_of_acl_have_to_agree(
    driver: Driver, update: Updates, bucket: Callable[[], oss2.Bucket]
) -> None:
    driver.provision("i", SELF_DEFINE, Acl="public-read")
    operation = update(ACL="private")
    assert isinstance(operation.end, Failed)
    assert "spellings" in operation.end.reason
    assert bucket().get_bucket_acl().acl == "public-read"
    assert isinstance(update(ACL="private", Acl="private").end, Succeeded)
    assert bucket().get_bucket_acl().acl == "private"


def test_only_what_changes_is_changed(driver: Driver, update: Updates, sandbox: Sandbox) -> None:
    driver.twice = False
    driver.provision("i", SELF_DEFINE, Lifecycle=[RULE])
    sandbox.control("DELETE", "counters")
    assert isinstance(update(Versioning=True).end, Succeeded)
    assert sandbox.calls() == {"oss:GetBucketInfo": 1, "oss:PutBucketVersioning": 1}
    sandbox.control("DELETE", "counters")
    assert isinstance(update(DeletionPolicy="delete").end, Succeeded)
    assert sandbox.calls() == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"StorageClass": "IA"},
        {"Redundancy": "ZRS"},
        {"Region": "cn-beijing"},
        {"BucketPrefix": "other"},
    ],
    ids=str,
)
def test_what_cannot_be_changed_is_refused(
    driver: Driver, update: Updates, sandbox: Sandbox, changes: dict[str, str]
) -> None:
    driver.provision("i", SELF_DEFINE)
    sandbox.control("DELETE", "counters")
    operation = update(**changes, Versioning=True)
    assert isinstance(operation.end, Failed)
    assert next(iter(changes)) in operation.end.reason
    assert sandbox.calls() == {}


def test_an_update_that_failed_half_way_is_put_right_by_the_next(
    driver: Driver, update: Updates, sandbox: Sandbox, bucket: Callable[[], oss2.Bucket]
) -> None:
    driver.twice = False
    driver.provision("i", SELF_DEFINE)
    sandbox.fault("PutBucketEncryption", "error", status=400, code="InvalidEncryptionRequest")
    operation = update(Versioning=True, Encryption="KMS")
    assert isinstance(operation.end, Failed)
    assert operation.end.instance_usable
    assert bucket().get_bucket_versioning().status == "Enabled"
    assert isinstance(update(Tags={"a": "b"}).end, Succeeded)
    assert bucket().get_bucket_versioning().status == "Suspended"
    assert driver.resource("i")["unsure"] == []


def test_a_bucket_that_is_gone_is_not_made_anew_by_an_update(
    driver: Driver, update: Updates, sandbox: Sandbox, bucket: Callable[[], oss2.Bucket]
) -> None:
    driver.provision("i", SELF_DEFINE)
    bucket().delete_bucket()
    operation = update(ACL="public-read")
    assert isinstance(operation.end, Failed)
    assert not operation.end.instance_usable
    assert sandbox.buckets == []


@pytest.mark.parametrize("action", ["PutBucketAcl", "PutBucketPublicAccessBlock", "GetBucketInfo"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_update_survives_lost_answers(
    driver: Driver, update: Updates, sandbox: Sandbox, action: str, when: str
) -> None:
    driver.provision("i", SELF_DEFINE)
    sandbox.fault(action, "reset", when=when)
    assert isinstance(update(ACL="public-read-write").end, Succeeded)
    assert sandbox.hits() == 1
    assert sandbox.buckets[0]["acl"] == "public-read-write"


def test_a_plan_can_be_left_for_one_like_it_only(update: Updates, driver: Driver) -> None:
    driver.provision("i", DEFAULT)
    assert isinstance(update(plan_id=SELF_DEFINE, Acl="public-read").end, Succeeded)
    assert isinstance(update(plan_id=DEFAULT).end, Succeeded)
    plans: Any = driver.broker
    plans._instances._plans[SELF_DEFINE] = {"storage_class": "IA"}
    driver.instances["i"].plan_id = SELF_DEFINE
    assert isinstance(update(plan_id=DEFAULT).end, Failed)


@pytest.mark.parametrize(
    ("kind", "parameters", "place"),
    [
        (OperationKind.PROVISION, {"Region": "mars-1"}, "Region"),
        (OperationKind.PROVISION, {"BucketPrefix": "Upper"}, "BucketPrefix"),
        (OperationKind.PROVISION, {"Lifecycle": [{"Prefix": "x"}]}, "Lifecycle"),
        (OperationKind.PROVISION, {"Tags": {"alibroker": "x"}}, "Tags"),
        (OperationKind.PROVISION, {"Tags": {"Aliyun-team": "x"}}, "Tags"),
        (OperationKind.PROVISION, {"Tags": {"a\nb": "x"}}, "Tags"),
        (OperationKind.PROVISION, {"Tags": {"a": "x\x01"}}, "Tags"),
        (OperationKind.PROVISION, {"Tags": {"a": "x\uffff"}}, "Tags"),
        (OperationKind.PROVISION, {"DeletionPolicy": "burn"}, "DeletionPolicy"),
        (OperationKind.UPDATE, {"StorageClass": "IA"}, "StorageClass"),
        (OperationKind.BIND, {"Access": "all"}, "Access"),
        (OperationKind.BIND, {"Prefix": "a*/"}, "Prefix"),
        (OperationKind.BIND, {"Prefix": "a"}, "Prefix"),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused_at_the_door(
    driver: Driver, kind: OperationKind, parameters: dict[str, Any], place: str
) -> None:
    text = Catalog([checked(driver.broker)]).check_parameters(SELF_DEFINE, kind, parameters)
    assert text is not None
    assert place in text
    assert Catalog([checked(driver.broker)]).check_parameters(SELF_DEFINE, kind, NOTHING) is None


def test_tags_may_be_in_any_language(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    tags = {"部门": "财务部", "équipe": "été & <hiver>", "команда": ""}
    catalog = Catalog([checked(driver.broker)])
    assert catalog.check_parameters(DEFAULT, OperationKind.PROVISION, {"Tags": tags}) is None
    assert isinstance(driver.provision("i", DEFAULT, Tags=tags).end, Succeeded)
    (bucket,) = sandbox.buckets
    assert tags.items() <= bucket["tags"].items()
    assert isinstance(driver.deprovision("i").end, Succeeded)


@pytest.mark.parametrize("tags", [{"部" * 22: "x"}, {"x": "部" * 43}], ids=["key", "value"])
def test_tags_are_measured_in_bytes(oss: Drive, sandbox: Sandbox, tags: dict[str, str]) -> None:
    operation = oss().provision("i", DEFAULT, Tags=tags)
    assert isinstance(operation.end, Failed)
    assert "bytes" in operation.end.reason
    assert sandbox.empty
