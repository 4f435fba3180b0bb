"""Names that users choose: nobody gets another's bucket, whoever comes first and whatever fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import oss2
import pytest

from alibroker.brokers.api import Failed, Inventory, OperationKind, Succeeded
from alibroker.brokers.catalog import Catalog
from alibroker.brokers.contract import checked
from alibroker.brokers.driver import Driver, Operation

if TYPE_CHECKING:
    from conftest import Sandbox

    Drive = Callable[..., Driver]
    Account = Callable[[str], oss2.Bucket]

DEFAULT = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2221"
SELF_DEFINE = "oss-edc2badc-d93b-4d9c-9d8e-da2f1c8c2222"
NAME = "our-photos"
CALLS = {
    "ram:ListPolicies": 1,
    "oss:GetBucketInfo": 2,
    "ram:CreatePolicy": 1,
    "oss:PutBucket": 1,
    "oss:PutBucketTagging": 1,
    "ram:DeletePolicy": 1,
    "oss:PutBucketPublicAccessBlock": 1,
}


@pytest.fixture
def account(sandbox: Sandbox) -> Iterator[Account]:
    """Return a function that opens a bucket as the account's owner."""
    session = oss2.Session()
    session.session.trust_env = False
    auth = oss2.AuthV4("testid", "testsecret")

    def open_bucket(name: str) -> oss2.Bucket:
        return oss2.Bucket(auth, sandbox.inside, name, region="cn-hangzhou", session=session)

    yield open_bucket
    session.session.close()


def tag(bucket: oss2.Bucket, tags: dict[str, str]) -> None:
    rule = oss2.models.TaggingRule()
    for key, value in tags.items():
        rule.add(key, value)
    bucket.put_bucket_tagging(oss2.models.Tagging(rule))


def refused(operation: Operation) -> bool:
    """Tell whether an operation failed because of the name; it must not for another reason."""
    if isinstance(operation.end, Failed):
        assert "is taken" in operation.end.reason
        return True
    assert isinstance(operation.end, Succeeded)
    return False


def owner_of(sandbox: Sandbox, name: str = NAME) -> str:
    (bucket,) = (one for one in sandbox.buckets if one["name"] == name)
    return str(bucket["tags"].get("alibroker-instance", ""))


@pytest.mark.parametrize("twice", [False, True])
def test_a_bucket_has_the_name_that_was_asked_for(
    oss: Drive, sandbox: Sandbox, *, twice: bool
) -> None:
    driver = oss(twice=twice)
    assert isinstance(driver.provision("i", DEFAULT, BucketName=NAME).end, Succeeded)
    if not twice:
        assert sandbox.calls() == {**CALLS, "sts:GetCallerIdentity": 1}
    assert driver.bind("i", "b").credentials["bucket"] == NAME
    assert isinstance(driver.update("i", Versioning=True).end, Succeeded)
    assert isinstance(driver.broker, Inventory)
    found = next(one for one in driver.broker.inventory() if one.kind == "OSS bucket")
    record = driver.resource("i")
    assert {key: record[key] for key in found.resource} == found.resource
    assert found.parameters == {"BucketName": NAME, "Versioning": True}
    assert isinstance(driver.unbind("i", "b").end, Succeeded)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty
    assert isinstance(driver.provision("j", DEFAULT, BucketName=NAME).end, Succeeded)
    assert isinstance(driver.deprovision("j").end, Succeeded)
    assert sandbox.empty


def test_a_name_that_another_instance_has_is_refused(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    driver.provision("i", DEFAULT, BucketName=NAME)
    before = sandbox.inventory
    assert refused(driver.provision("j", DEFAULT, BucketName=NAME))
    assert isinstance(driver.deprovision("j").end, Succeeded)
    other = oss(ALIBROKER_NAME="another-broker")
    assert refused(other.provision("i", DEFAULT, BucketName=NAME))
    assert isinstance(other.deprovision("i").end, Succeeded)
    assert sandbox.inventory == before
    driver.deprovision("i")
    assert sandbox.empty


def test_a_name_of_another_account_is_refused(oss: Drive, sandbox: Sandbox) -> None:
    sandbox.control("POST", "foreign-buckets", {"name": "theirs"})
    driver = oss()
    assert refused(driver.provision("i", DEFAULT, BucketName="theirs"))
    operation = driver.ordered("j", DEFAULT, BucketName="theirs-soon")
    driver.step(operation)
    sandbox.control("POST", "foreign-buckets", {"name": "theirs-soon"})
    assert refused(driver.run([operation])[0])
    for name in ("i", "j"):
        assert isinstance(driver.deprovision(name).end, Succeeded)
    assert sandbox.empty


@pytest.mark.parametrize("marks", [{}, {"team": "a"}, {"alibroker": "alibroker"}], ids=str)
def test_a_bucket_that_the_account_has_anyway_is_left_alone(
    oss: Drive, sandbox: Sandbox, account: Account, marks: dict[str, str]
) -> None:
    bucket = account(NAME)
    bucket.create_bucket()
    bucket.put_bucket_public_access_block(False)
    bucket.put_bucket_acl("public-read")
    if marks:
        tag(bucket, marks)
    before = sandbox.inventory
    driver = oss()
    assert refused(driver.provision("i", DEFAULT, BucketName=NAME))
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.inventory == before
    bucket.delete_bucket()


@pytest.mark.parametrize(
    "prepare",
    [
        lambda bucket: bucket.put_bucket_acl("private"),
        lambda bucket: tag(bucket, {"team": "a"}),
        lambda bucket: tag(bucket, {"alibroker": "alibroker", "alibroker-instance": "x"}),
    ],
    ids=["versioned", "tagged", "another instance's"],
)
def test_a_bucket_that_appears_after_the_look_is_left_alone(
    oss: Drive, sandbox: Sandbox, account: Account, prepare: Callable[[oss2.Bucket], None]
) -> None:
    driver = oss()
    operation = driver.ordered("i", DEFAULT, BucketName=NAME)
    driver.step(operation)
    bucket = account(NAME)
    bucket.create_bucket()
    bucket.put_bucket_versioning(oss2.models.BucketVersioningConfig("Enabled"))
    prepare(bucket)
    before = sandbox.buckets
    assert refused(driver.run([operation])[0])
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.buckets == before
    bucket.delete_bucket()
    assert sandbox.empty


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", list(CALLS))
def test_any_call_may_be_cut_off(oss: Drive, sandbox: Sandbox, action: str, when: str) -> None:
    driver = oss()
    for skip in range(CALLS[action]):
        sandbox.fault(action, "reset", when=when, skip=skip)
        assert isinstance(driver.provision("i", DEFAULT, BucketName=NAME).end, Succeeded)
        assert owner_of(sandbox) == "i"
        assert sandbox.ram == ([], [])
        assert isinstance(driver.deprovision("i").end, Succeeded)
        assert sandbox.empty
        sandbox.control("DELETE", "faults")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", list(CALLS))
def test_a_creation_given_up_at_any_call_is_undone(
    oss: Drive, sandbox: Sandbox, action: str, when: str
) -> None:
    driver = oss()
    for skip in range(CALLS[action]):
        operation = driver.ordered("i", DEFAULT, BucketName=NAME)
        sandbox.fault(action, "reset", when=when, skip=skip)
        driver.run([operation], steps=2)
        assert sandbox.hits() == 1
        assert isinstance(driver.deprovision("i").end, Succeeded)
        assert sandbox.empty
        assert isinstance(driver.provision("j", DEFAULT, BucketName=NAME).end, Succeeded)
        assert isinstance(driver.deprovision("j").end, Succeeded)
        assert sandbox.empty
        sandbox.control("DELETE", "faults")


@pytest.mark.parametrize("brokers", ["one broker", "two brokers"])
def test_of_many_who_want_a_name_at_once_at_most_one_gets_it(
    oss: Drive, sandbox: Sandbox, brokers: str
) -> None:
    for _ in range(6):
        drivers = [oss(), oss(ALIBROKER_NAME="second" if brokers == "two brokers" else "")]
        operations = [
            (driver, driver.ordered(f"i{number}", DEFAULT, BucketName=NAME))
            for number, driver in enumerate(itertools.islice(itertools.cycle(drivers), 6))
        ]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda one: one[0].run([one[1]]), operations))
        winners = [one for _, one in operations if not refused(one)]
        assert len(winners) <= 1
        for driver, one in operations:
            if one not in winners:
                assert isinstance(driver.deprovision(one.instance_id).end, Succeeded)
        for winner in winners:
            assert owner_of(sandbox) == winner.instance_id
        for driver, one in operations:
            if one in winners:
                assert isinstance(driver.deprovision(one.instance_id).end, Succeeded)
        assert sandbox.empty


@pytest.mark.parametrize(
    "faults", list(itertools.product(["", *CALLS], ["before", "after"])), ids=str
)
@pytest.mark.parametrize("undone", [False, True])
def test_two_who_both_found_the_name_free_do_not_share_a_bucket(
    oss: Drive, sandbox: Sandbox, faults: tuple[str, str], *, undone: bool
) -> None:
    """One is cut off anywhere, the other goes on, the first comes back or is undone."""
    driver = oss()
    first, second = (driver.ordered(name, DEFAULT, BucketName=NAME) for name in ("1st", "2nd"))
    driver.step(first)
    driver.step(second)
    action, when = faults
    if action:
        sandbox.fault(action, "reset", when=when)
    driver.step(first)
    sandbox.control("DELETE", "faults")
    if undone:
        assert isinstance(driver.deprovision("1st").end, Succeeded)
        driver.run([second])
    else:
        driver.run([second])
        driver.run([first])
        if refused(first):
            driver.deprovision("1st")
    if refused(second):
        driver.deprovision("2nd")
    ended = {one.instance_id for one in (first, second) if isinstance(one.end, Succeeded)}
    ended -= {"1st"} if undone else set()
    assert len(ended) == 1
    assert owner_of(sandbox) in ended
    assert sandbox.ram == ([], [])
    assert isinstance(driver.deprovision(*ended).end, Succeeded)
    assert sandbox.empty


def test_a_name_is_not_free_while_keys_to_an_earlier_bucket_of_it_are_out(
    oss: Drive, sandbox: Sandbox, account: Account
) -> None:
    driver = oss()
    driver.provision("i", DEFAULT, BucketName=NAME)
    driver.bind("i", "b")
    account(NAME).delete_bucket()
    assert refused(driver.provision("j", DEFAULT, BucketName=NAME))
    driver.unbind("i", "b")
    assert isinstance(driver.provision("j", DEFAULT, BucketName=NAME).end, Succeeded)
    operation = driver.bind("i", "b2")
    assert isinstance(operation.end, Failed)
    assert "is not that of the instance any more" in operation.end.reason
    driver.unbind("i", "b2")
    operation = driver.update("i", Tags={"a": "b"})
    assert isinstance(operation.end, Failed)
    operation = driver.deprovision("i")
    assert isinstance(operation.end, Failed)
    assert "nothing is deleted" in operation.end.reason
    assert owner_of(sandbox) == "j"
    driver.deprovision("j")
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_bucket_that_lost_its_tags_is_not_deleted(
    oss: Drive, sandbox: Sandbox, account: Account
) -> None:
    driver = oss()
    driver.provision("i", DEFAULT, BucketName=NAME, DeletionPolicy="delete")
    before = sandbox.buckets[0]["tags"]
    account(NAME).delete_bucket_tagging()
    assert isinstance(driver.deprovision("i").end, Failed)
    assert len(sandbox.buckets) == 1
    tag(account(NAME), before)
    assert isinstance(driver.deprovision("i").end, Succeeded)
    assert sandbox.empty


def test_a_kept_bucket_keeps_its_name(oss: Drive, sandbox: Sandbox, account: Account) -> None:
    driver = oss()
    driver.provision("i", DEFAULT, BucketName=NAME, DeletionPolicy="keep")
    driver.deprovision("i")
    assert refused(driver.provision("j", DEFAULT, BucketName=NAME))
    driver.deprovision("j")
    assert owner_of(sandbox) == "i"
    account(NAME).delete_bucket()


def test_a_name_and_a_prefix_exclude_each_other(oss: Drive, sandbox: Sandbox) -> None:
    driver = oss()
    end = driver.provision("i", DEFAULT, BucketName=NAME, BucketPrefix="x").end
    assert isinstance(end, Failed)
    assert "exclude each other" in end.reason
    driver.deprovision("i")
    driver.provision("i", SELF_DEFINE, BucketName=NAME)
    end = driver.update("i", BucketName="other").end
    assert isinstance(end, Failed)
    assert "BucketName" in end.reason
    driver.deprovision("i")
    assert sandbox.empty


@pytest.mark.parametrize("name", ["ab", "-abc", "abc-", "Abc", "a.b.c", "a" * 64, "a_b"])
def test_what_cannot_be_a_name_is_refused_at_the_door(oss: Drive, name: str) -> None:
    catalog = Catalog([checked(oss().broker)])
    fault = catalog.check_parameters(DEFAULT, OperationKind.PROVISION, {"BucketName": name})
    assert fault is not None
    assert "BucketName" in fault


def test_a_claim_that_was_left_is_found_and_goes_with_the_instance(
    oss: Drive, sandbox: Sandbox
) -> None:
    driver = oss()
    operation = driver.ordered("i", DEFAULT, BucketName=NAME)
    driver.step(operation)
    sandbox.fault("PutBucket", "reset", when="before")
    driver.step(operation)
    broker: Any = driver.broker
    (found,) = broker.inventory()
    assert (found.kind, found.instance_id, found.main) == ("RAM policy", "i", False)
    anew = oss()
    anew.ordered("i", DEFAULT)
    assert isinstance(anew.deprovision("i").end, Succeeded)
    assert sandbox.empty
