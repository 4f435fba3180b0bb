"""Endpoints of OSS: which of them serve objects, and domains that stand for buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import oss2
import pytest
import requests
from oss2.models import PutBucketCnameRequest
from refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORBIDDEN = (400, "PublicEndpointForbidden")


@pytest.fixture
def public(owner: Any, bucket: Any) -> oss2.Bucket:
    """The bucket through the public endpoint."""
    auth = oss2.AuthV4(owner.key_id, owner.secret)
    return oss2.Bucket(auth, owner.url, bucket.bucket_name, region="cn-hangzhou")


@pytest.fixture
def older(sandbox: Any) -> Iterator[None]:
    """Make the account one that activated OSS before public endpoints were restricted."""
    sandbox.control("PUT", "settings", {"public_data_api": True})
    yield
    sandbox.control("PUT", "settings", {"public_data_api": False})


DATA: list[tuple[str, Callable[[oss2.Bucket], Any]]] = [
    ("list", lambda bucket: bucket.list_objects()),
    ("list again", lambda bucket: bucket.list_objects_v2()),
    ("versions", lambda bucket: bucket.list_object_versions()),
    ("uploads", lambda bucket: bucket.list_multipart_uploads()),
    ("put", lambda bucket: bucket.put_object("x", b"1")),
    ("get", lambda bucket: bucket.get_object("x")),
    ("delete", lambda bucket: bucket.delete_object("x")),
    ("delete many", lambda bucket: bucket.batch_delete_objects(["x"])),
    ("upload", lambda bucket: bucket.init_multipart_upload("x")),
]


@pytest.mark.parametrize("call", [call for _, call in DATA], ids=[name for name, _ in DATA])
def test_a_public_endpoint_serves_no_data(public: oss2.Bucket, call: Callable[..., Any]) -> None:
    assert refused(lambda: call(public)) == FORBIDDEN


def test_a_public_endpoint_serves_buckets(public: oss2.Bucket) -> None:
    assert public.get_bucket_info().name == public.bucket_name
    public.put_bucket_acl("private")
    public.get_bucket_stat()
    public.delete_bucket()


@pytest.mark.usefixtures("older")
def test_it_serves_data_for_accounts_of_before(public: oss2.Bucket) -> None:
    public.put_object("x", b"1")
    assert public.get_object("x").read() == b"1"


def test_it_serves_data_outside_mainland_china(owner: Any, unique: Callable[[str], str]) -> None:
    auth = oss2.AuthV4(owner.key_id, owner.secret)
    far = oss2.Bucket(auth, owner.url, unique("far-"), region="cn-hongkong")
    far.create_bucket()
    far.put_object("x", b"1")
    far.delete_object("x")
    far.delete_bucket()


def test_a_domain_stands_for_a_bucket(
    owner: Any, bucket: Any, unique: Callable[[str], str]
) -> None:
    domain = f"{unique('d-')}.files.test"
    assert refused(lambda: bucket.put_bucket_cname(PutBucketCnameRequest("no domain")))[0] == 400
    bucket.put_bucket_cname(PutBucketCnameRequest(domain))
    assert [one.domain for one in bucket.list_bucket_cname().cname] == [domain]
    other = owner.bucket(unique("other-"))
    other.create_bucket()
    taken = refused(lambda: other.put_bucket_cname(PutBucketCnameRequest(domain)))
    assert taken == (409, "CnameAlreadyExists")
    bucket.put_object("a/b", b"hello")
    # A URL that was signed for the domain, sent to it without a name service.
    named = oss2.Bucket(
        oss2.AuthV4(owner.key_id, owner.secret),
        f"http://{domain}",
        bucket.bucket_name,
        is_cname=True,
        region="cn-hangzhou",
    )
    url = named.sign_url("GET", "a/b", 60).replace(f"http://{domain}", owner.url)
    answer = requests.get(url, headers={"Host": domain}, timeout=10)
    assert (answer.status_code, answer.text) == (200, "hello")
    bucket.delete_bucket_cname(domain)
    assert bucket.list_bucket_cname().cname == []
    assert refused(lambda: bucket.delete_bucket_cname(domain)) == (404, "NoSuchCname")


def test_a_domain_goes_with_its_bucket(
    owner: Any, bucket: Any, unique: Callable[[str], str]
) -> None:
    domain = f"{unique('d-')}.files.test"
    bucket.put_bucket_cname(PutBucketCnameRequest(domain))
    bucket.delete_bucket()
    other = owner.bucket(unique("other-"))
    other.create_bucket()
    other.put_bucket_cname(PutBucketCnameRequest(domain))
