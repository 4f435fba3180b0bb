"""STS, the metadata service and the default network."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import oss2
import pytest
import requests
from oss2.credentials import StaticCredentialsProvider

if TYPE_CHECKING:
    from collections.abc import Callable

TRUST = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}'
CREDENTIALS = "latest/meta-data/ram/security-credentials/"


@pytest.fixture
def role(owner: Any, unique: Callable[[str], str]) -> str:
    """The ARN of a role that may read RDS."""
    name = unique("Role")
    arn = owner.call("ram", "CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]
    system = {"PolicyType": "System", "PolicyName": "AliyunRDSReadOnlyAccess"}
    owner.call("ram", "AttachPolicyToRole", RoleName=name, **system)
    return str(arn["Arn"])


@pytest.fixture
def user(owner: Any, as_caller: Any, unique: Callable[[str], str]) -> Any:
    """A user that may assume roles."""
    name = {"UserName": unique("u")}
    owner.call("ram", "CreateUser", **name)
    system = {"PolicyType": "System", "PolicyName": "AliyunSTSAssumeRoleAccess"}
    owner.call("ram", "AttachPolicyToUser", **name, **system)
    key = owner.call("ram", "CreateAccessKey", **name)["AccessKey"]
    return as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])


def token(**changes: Any) -> str:
    claims = {
        "iss": "https://issuer",
        "sub": "system:serviceaccount:a:b",
        "aud": ["sts.aliyuncs.com"],
        "exp": time.time() + 600,
        **changes,
    }
    parts = [{"alg": "RS256"}, claims]
    texts = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*texts, "signature"])


def session(as_caller: Any, url: str, credentials: dict[str, str]) -> Any:
    return as_caller(
        url,
        credentials["AccessKeyId"],
        credentials["AccessKeySecret"],
        credentials["SecurityToken"],
    )


def test_a_role_is_assumed(owner: Any, user: Any, role: str, as_caller: Any) -> None:
    answer = user.call("sts", "AssumeRole", RoleArn=role, RoleSessionName="work")
    assert answer["Credentials"]["AccessKeyId"].startswith("STS.")
    mine = session(as_caller, owner.url, answer["Credentials"])
    identity = mine.call("sts", "GetCallerIdentity")
    assert identity["IdentityType"] == "AssumedRoleUser"
    assert identity["Arn"].endswith("/work")
    mine.call("rds", "DescribeRegions")
    assert mine.refusal("ram", "ListUsers") == "NoPermission"
    stolen = as_caller(owner.url, mine.key_id, mine.secret)
    code = stolen.refusal("sts", "GetCallerIdentity")
    assert code == "InvalidSecurityToken.MismatchWithAccessKey"
    forged = as_caller(owner.url, mine.key_id, mine.secret, "forged")
    assert forged.refusal("sts", "GetCallerIdentity") == "InvalidSecurityToken.Malformed"


def test_an_inline_policy_only_narrows(owner: Any, user: Any, role: str, as_caller: Any) -> None:
    statement = {"Effect": "Allow", "Action": ["ram:*", "rds:ListClasses"], "Resource": "*"}
    inline = json.dumps({"Version": "1", "Statement": [statement]})
    answer = user.call("sts", "AssumeRole", RoleArn=role, RoleSessionName="work", Policy=inline)
    mine = session(as_caller, owner.url, answer["Credentials"])
    mine.call("rds", "ListClasses", CommodityCode="bards", OrderType="BUY")
    assert mine.refusal("rds", "DescribeRegions") == "Forbidden.RAM"
    assert mine.refusal("ram", "ListUsers") == "NoPermission"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RoleArn": "acs:ram::1:role/other"}, "EntityNotExist.Role"),
        ({"RoleSessionName": "x"}, "InvalidParameter.RoleSessionName"),
        ({"DurationSeconds": "899"}, "InvalidParameter.DurationSeconds"),
        ({"DurationSeconds": "3601"}, "InvalidParameter.DurationSeconds"),
        ({"Policy": "{}"}, "InvalidParameter.PolicyGrammar"),
        ({"Policy": "x" * 2049}, "InvalidParameter.PolicySize"),
    ],
)
def test_a_bad_assumption_is_refused(
    user: Any, role: str, changes: dict[str, str], code: str
) -> None:
    asked = {"RoleArn": role, "RoleSessionName": "work", **changes}
    assert user.refusal("sts", "AssumeRole", **asked) == code


def test_who_may_not_assume_roles(owner: Any, role: str, as_caller: Any, unique: Any) -> None:
    asked = {"RoleArn": role, "RoleSessionName": "work"}
    assert owner.refusal("sts", "AssumeRole", **asked) == "NoPermission"
    name = unique("u")
    owner.call("ram", "CreateUser", UserName=name)
    key = owner.call("ram", "CreateAccessKey", UserName=name)["AccessKey"]
    poor = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])
    assert poor.refusal("sts", "AssumeRole", **asked) == "NoPermission"


def test_an_oidc_token_is_exchanged_without_a_signature(
    owner: Any, role: str, as_caller: Any
) -> None:
    account = role.split(":")[3]
    asked = {
        "Action": "AssumeRoleWithOIDC",
        "Version": "2015-04-01",
        "OIDCProviderArn": f"acs:ram::{account}:oidc-provider/ack",
        "RoleArn": role,
        "RoleSessionName": "pod",
        "OIDCToken": token(),
    }
    answer = requests.post(f"{owner.url}/", data=asked, timeout=10).json()
    assert answer["OIDCTokenInfo"]["Issuer"] == "https://issuer"
    session(as_caller, owner.url, answer["Credentials"]).call("rds", "DescribeRegions")
    for changes, code in (
        ({"OIDCToken": "no token"}, "AuthenticationFail.OIDCToken.Invalid"),
        ({"OIDCToken": token(aud="else")}, "AuthenticationFail.OIDCToken.InvalidAudience"),
        ({"OIDCToken": token(exp=1)}, "AuthenticationFail.OIDCToken.Expired"),
        ({"OIDCProviderArn": "acs:ram::1:oidc-provider/ack"}, "EntityNotExist.OIDCProvider"),
    ):
        refused = requests.post(f"{owner.url}/", data={**asked, **changes}, timeout=10)
        assert refused.json()["Code"] == code


def test_the_metadata_service_hands_out_credentials_that_end(
    sandbox: Any, as_caller: Any, eventually: Callable[..., Any], unique: Callable[[str], str]
) -> None:
    base = f"{sandbox.url}/{CREDENTIALS}"
    name = requests.get(base, timeout=10).text
    with sandbox.settings(role_credential_seconds=1):
        credentials = requests.get(base + name, timeout=10).json()
    assert credentials["Code"] == "Success"
    mine = session(as_caller, sandbox.url, credentials)
    assert mine.call("sts", "GetCallerIdentity")["IdentityType"] == "AssumedRoleUser"
    provider = StaticCredentialsProvider(mine.key_id, mine.secret, mine.token)
    auth = oss2.ProviderAuthV4(provider)
    bucket = oss2.Bucket(auth, sandbox.url, unique("b"), region="cn-hangzhou")
    bucket.create_bucket()

    def expired() -> bool:
        try:
            bucket.get_bucket_info()
        except oss2.exceptions.ServerError as error:
            return bool(error.code == "SecurityTokenExpired")
        return False

    eventually(expired)
    assert mine.refusal("sts", "GetCallerIdentity") == "InvalidSecurityToken.Expired"


def test_the_metadata_service_is_asked_for_credentials_in_both_spellings(sandbox: Any) -> None:
    base = f"{sandbox.url}/latest/meta-data/Ram/security-credentials/"
    name = requests.get(base, timeout=10).text
    assert name == requests.get(f"{sandbox.url}/{CREDENTIALS}", timeout=10).text
    assert requests.get(base + name, timeout=10).json()["Code"] == "Success"


def test_the_metadata_service_knows_tokens(sandbox: Any) -> None:
    url, header = f"{sandbox.url}/latest", "X-aliyun-ecs-metadata-token"
    ttl = f"{header}-ttl-seconds"
    assert requests.put(f"{url}/api/token", timeout=10).status_code == 400
    key = requests.put(f"{url}/api/token", headers={ttl: "60"}, timeout=10).text
    place = f"{url}/meta-data/region-id"
    assert requests.get(place, timeout=10).text == "cn-hangzhou"
    with sandbox.settings(metadata_token_required=True):
        assert requests.get(place, timeout=10).status_code == 403
        assert requests.get(place, headers={header: "9999999999.x"}, timeout=10).status_code == 401
        assert requests.get(place, headers={header: key}, timeout=10).text == "cn-hangzhou"
    assert requests.get(f"{url}/meta-data/none", timeout=10).status_code == 404


def test_the_default_network_has_a_vswitch_in_each_zone(owner: Any) -> None:
    vpcs = owner.call("vpc", "DescribeVpcs", RegionId="cn-hangzhou")
    assert vpcs["TotalCount"] == 1
    vpc = vpcs["Vpcs"]["Vpc"][0]
    attribute = owner.call("vpc", "DescribeVpcAttribute", VpcId=vpc["VpcId"])
    assert attribute["Status"] == "Available"
    assert len(attribute["VSwitchIds"]["VSwitchId"]) == 3
    page = owner.call("vpc", "DescribeVSwitches", VpcId=vpc["VpcId"], PageSize=2, PageNumber=2)
    assert (page["TotalCount"], len(page["VSwitches"]["VSwitch"])) == (3, 1)
    last = page["VSwitches"]["VSwitch"][0]
    one = owner.call("vpc", "DescribeVSwitchAttributes", VSwitchId=last["VSwitchId"])
    assert one["ZoneId"] == last["ZoneId"]
    unknown = {"VpcId": "vpc-unknown"}
    assert owner.refusal("vpc", "DescribeVpcAttribute", **unknown) == "InvalidVpcID.NotFound"
    code = owner.refusal("vpc", "DescribeVSwitchAttributes", VSwitchId="vsw-unknown")
    assert code == "InvalidVswitchID.NotFound"
