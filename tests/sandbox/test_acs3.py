"""ACS3-HMAC-SHA256, the signature of the vendor's newest clients."""

from __future__ import annotations

import hashlib
import time
import uuid
from typing import Any

import pytest
import requests
from vendor_clients import VendorClient

from alibroker.sandbox.signature import acs3_signature, acs3_string_to_sign

SECRET = "testsecret"
TRUST = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}'


def stamp(offset: float = 0) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset))


def send(
    sandbox: Any,
    *,
    secret: str = SECRET,
    key: str = "testid",
    body: str = "",
    sent_body: str | None = None,
    leave_out: str = "",
    **changes: str,
) -> requests.Response:
    """Send a call that is signed by hand; changes are headers, with _ for -."""
    headers = {
        "host": sandbox.url.removeprefix("http://"),
        "x-acs-action": "GetCallerIdentity",
        "x-acs-version": "2015-04-01",
        "x-acs-date": stamp(),
        "x-acs-signature-nonce": str(uuid.uuid4()),
        "x-acs-content-sha256": hashlib.sha256(body.encode()).hexdigest(),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    if body:
        headers["content-type"] = "application/x-www-form-urlencoded"
    signed = [name for name in headers if name != leave_out]
    digest = hashlib.sha256(body.encode()).hexdigest()
    text = acs3_string_to_sign("POST", "/", [], headers, signed, digest)
    headers["authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={key},SignedHeaders={';'.join(sorted(signed))},"
        f"Signature={acs3_signature(secret, text)}"
    )
    return requests.post(
        f"{sandbox.url}/", headers=headers, data=sent_body or body or None, timeout=10
    )


@pytest.mark.parametrize("product", ["rds", "ram", "sts", "vpc"])
def test_the_newest_client_of_each_product_is_understood(sandbox: Any, product: str) -> None:
    client = VendorClient(product, sandbox.url, "testid", SECRET)
    action, parameters, place = {
        "rds": ("DescribeDBInstances", {"RegionId": "cn-hangzhou"}, "Items"),
        "ram": ("ListUsers", {"MaxItems": 10}, "Users"),
        "sts": ("GetCallerIdentity", {}, "AccountId"),
        "vpc": ("DescribeVpcs", {"RegionId": "cn-hangzhou"}, "Vpcs"),
    }[product]
    assert place in client.call(action, **parameters)


def test_odd_characters_survive_the_newest_client(sandbox: Any, unique: Any) -> None:
    client = VendorClient("ram", sandbox.url, "testid", SECRET)
    name, odd = unique("u"), "a b+c*d~e%/é&=\u4e2d"
    client.call("CreateUser", UserName=name, DisplayName=odd)
    assert client.call("GetUser", UserName=name)["User"]["DisplayName"] == odd
    client.call("DeleteUser", UserName=name)


def test_a_session_signs_with_its_token(sandbox: Any, owner: Any, unique: Any) -> None:
    name = unique("Role")
    owner.call("ram", "CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST)
    policy = {"PolicyType": "System", "PolicyName": "AliyunSTSAssumeRoleAccess"}
    user = {"UserName": unique("u")}
    owner.call("ram", "CreateUser", **user)
    owner.call("ram", "AttachPolicyToUser", **user, **policy)
    key = owner.call("ram", "CreateAccessKey", **user)["AccessKey"]
    sts = VendorClient("sts", sandbox.url, key["AccessKeyId"], key["AccessKeySecret"])
    arn = owner.call("ram", "GetRole", RoleName=name)["Role"]["Arn"]
    session = sts.call("AssumeRole", RoleArn=arn, RoleSessionName="one")["Credentials"]
    pair = session["AccessKeyId"], session["AccessKeySecret"]
    mine = VendorClient("sts", sandbox.url, *pair, session["SecurityToken"])
    assert mine.call("GetCallerIdentity")["IdentityType"] == "AssumedRoleUser"
    with pytest.raises(Exception, match="mismatch with the AccessKey"):
        VendorClient("sts", sandbox.url, *pair).call("GetCallerIdentity")


@pytest.mark.unjudged
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"body": "Note=one"}, ""),
        ({"secret": "wrong"}, "SignatureDoesNotMatch"),
        ({"key": "nobody"}, "InvalidAccessKeyId.NotFound"),
        ({"body": "Note=one", "sent_body": "Note=two"}, "SignatureDoesNotMatch"),
        ({"leave_out": "x-acs-action"}, "IncompleteSignature"),
        ({"x_acs_date": "yesterday"}, "InvalidTimeStamp.Format"),
        ({"x_acs_signature_nonce": ""}, "MissingParameter"),
        ({"x_acs_security_token": "nowhere"}, "InvalidSecurityToken.MismatchWithAccessKey"),
        ({"x_acs_action": "MakeCoffee"}, "InvalidAction.NotFound"),
    ],
)
def test_what_is_signed_by_hand_is_checked(
    sandbox: Any, changes: dict[str, str], code: str
) -> None:
    assert send(sandbox, **changes).json().get("Code", "") == code


def test_old_requests_and_used_nonces_are_refused(sandbox: Any) -> None:
    nonce = str(uuid.uuid4())
    assert send(sandbox, x_acs_signature_nonce=nonce).ok
    assert send(sandbox, x_acs_signature_nonce=nonce).json()["Code"] == "SignatureNonceUsed"
    assert send(sandbox, x_acs_date=stamp(-1000)).json()["Code"] == "InvalidTimeStamp.Expired"


def test_another_algorithm_is_refused(sandbox: Any) -> None:
    headers = {
        "authorization": "ACS3-HMAC-SM3 Credential=a,SignedHeaders=host,Signature=00",
        "x-acs-action": "GetCallerIdentity",
        "x-acs-version": "2015-04-01",
    }
    answer = requests.post(f"{sandbox.url}/", headers=headers, timeout=10)
    assert answer.json()["Code"] == "IncompleteSignature"
