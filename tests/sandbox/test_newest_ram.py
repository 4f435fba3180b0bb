"""Whole lives of users, policies, groups and roles, through the vendor's newest client alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from vendor_clients import VendorClient

ODD = "a b+c*d~e%/é&=\u4e2d"
TAGS = [{"Key": "broker", "Value": ODD}, {"Key": "instance", "Value": "i-1"}]
TRUST = json.dumps(
    {
        "Version": "1",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": ["ecs.aliyuncs.com"]},
            }
        ],
    }
)


def document(bucket: str) -> str:
    statement = {
        "Effect": "Allow",
        "Action": ["oss:GetObject"],
        "Resource": [f"acs:oss:*:*:{bucket}/*"],
    }
    return json.dumps({"Version": "1", "Statement": [statement]})


@pytest.fixture
def ram(sandbox: Any) -> VendorClient:
    return VendorClient("ram", sandbox.url, "testid", "testsecret")


@pytest.fixture
def refusal(ram: VendorClient) -> Callable[..., str]:
    def refused(action: str, **parameters: Any) -> str:
        with pytest.raises(AlibabaCloudException) as caught:
            ram.call(action, **parameters)
        return str(caught.value.code)

    return refused


def pages(ram: VendorClient, action: str, outer: str, inner: str, **more: Any) -> Iterator[Any]:
    marker: dict[str, str] = {}
    while True:
        answer = ram.call(action, MaxItems=2, **more, **marker)
        yield from answer[outer][inner]
        if not answer["IsTruncated"]:
            return
        marker = {"Marker": answer["Marker"]}


def listed(answer: dict[str, Any], outer: str, inner: str, name: str) -> list[str]:
    return [one[name] for one in answer[outer][inner]]


def test_a_user_lives_with_keys_and_a_login(
    ram: VendorClient, refusal: Callable[..., str], unique: Callable[[str], str]
) -> None:
    user = {"UserName": unique("u")}
    told = {"DisplayName": ODD, "Comments": ODD, "Email": "a@example.com"}
    made = ram.call("CreateUser", **user, **told, MobilePhone="86-18600008888")["User"]
    assert {**made, **user, **told, "MobilePhone": "86-18600008888"} == made
    assert refusal("CreateUser", **user) == "EntityAlreadyExists.User"
    assert ram.call("GetUser", **user)["User"].items() >= made.items()
    (found,) = (
        one for one in pages(ram, "ListUsers", "Users", "User") if one["UserName"] in made.values()
    )
    assert found.items() >= made.items()

    keys = [ram.call("CreateAccessKey", **user)["AccessKey"] for _ in range(2)]
    assert refusal("CreateAccessKey", **user) == "LimitExceeded.User.AccessKey"
    ids = [one["AccessKeyId"] for one in keys]
    first = {**user, "UserAccessKeyId": ids[0]}
    ram.call("UpdateAccessKey", **first, Status="Inactive")
    shown = ram.call("ListAccessKeys", **user)["AccessKeys"]["AccessKey"]
    assert [(one["AccessKeyId"], one["Status"]) for one in shown] == [
        (ids[0], "Inactive"),
        (ids[1], "Active"),
    ]
    assert "AccessKeySecret" not in shown[0]
    ram.call("CreateLoginProfile", **user, Password="Aa1!*_x9aaa", PasswordResetRequired=True)
    profile = ram.call("GetLoginProfile", **user)["LoginProfile"]
    assert (profile["PasswordResetRequired"], profile["MFABindRequired"]) == (True, False)
    code = {"AuthenticationCode1": "11111", "AuthenticationCode2": "22222"}
    ram.call("BindMFADevice", **user, **code, SerialNumber="acs:ram::1:mfa/x")

    renamed = {"UserName": unique("v")}
    ram.call("UpdateUser", **user, NewUserName=renamed["UserName"], NewComments="another")
    assert refusal("GetUser", **user) == "EntityNotExist.User"
    assert ram.call("GetUser", **renamed)["User"]["Comments"] == "another"
    for key in ids:
        assert refusal("DeleteUser", **renamed) == "DeleteConflict.User.AccessKey"
        ram.call("DeleteAccessKey", **renamed, UserAccessKeyId=key)
    device = ram.call("UnbindMFADevice", **renamed)["MFADevice"]
    assert device["SerialNumber"] == "acs:ram::1:mfa/x"
    ram.call("DeleteLoginProfile", **renamed)
    ram.call("DeleteUser", **renamed)
    assert refusal("DeleteUser", **renamed) == "EntityNotExist.User"


def test_a_policy_lives_with_tags_and_versions(
    ram: VendorClient, refusal: Callable[..., str], unique: Callable[[str], str]
) -> None:
    policy = {"PolicyName": unique("p")}
    named = {**policy, "PolicyType": "Custom"}
    tags = [*TAGS, {"Key": "name", "Value": policy["PolicyName"]}]
    ram.call("CreatePolicy", **policy, PolicyDocument=document("b"), Description=ODD, Tag=tags)
    found = ram.call("GetPolicy", **named)
    assert found["Policy"]["Description"] == ODD
    assert found["DefaultPolicyVersion"]["PolicyDocument"] == document("b")
    for asked in (tags, tags[2:]):
        (shown,) = pages(ram, "ListPolicies", "Policies", "Policy", PolicyType="Custom", Tag=asked)
        assert shown["PolicyName"] == policy["PolicyName"]
        assert {one["TagKey"]: one["TagValue"] for one in shown["Tags"]["Tag"]} == {
            one["Key"]: one["Value"] for one in tags
        }
    other = [{"Key": "name", "Value": "another"}]
    assert not list(
        pages(ram, "ListPolicies", "Policies", "Policy", PolicyType="Custom", Tag=other)
    )

    ram.call("CreatePolicyVersion", **policy, PolicyDocument=document("c"), SetAsDefault=True)
    versions = ram.call("ListPolicyVersions", **named)["PolicyVersions"]["PolicyVersion"]
    assert {one["VersionId"]: one["IsDefaultVersion"] for one in versions} == {
        "v1": False,
        "v2": True,
    }
    ram.call("SetDefaultPolicyVersion", **policy, VersionId="v1")
    found = ram.call("GetPolicy", **named)
    assert found["DefaultPolicyVersion"]["PolicyDocument"] == document("b")
    assert refusal("DeletePolicy", **policy) == "DeleteConflict.Policy.Version"
    ram.call("DeletePolicyVersion", **policy, VersionId="v2")
    ram.call("CreatePolicyVersion", **policy, PolicyDocument=document("d"))
    ram.call("DeletePolicy", **policy, CascadingDelete=True)
    assert refusal("GetPolicy", **named) == "EntityNotExist.Policy"


def test_a_policy_is_attached_to_a_user_a_group_and_a_role(
    ram: VendorClient, refusal: Callable[..., str], unique: Callable[[str], str]
) -> None:
    policy = {"PolicyName": unique("p")}
    named = {**policy, "PolicyType": "Custom"}
    holders = {"User": unique("u"), "Group": unique("g"), "Role": unique("r")}
    ram.call("CreatePolicy", **policy, PolicyDocument=document("b"))
    ram.call("CreateUser", UserName=holders["User"])
    ram.call("CreateGroup", GroupName=holders["Group"], Comments=ODD)
    trusted = {"AssumeRolePolicyDocument": TRUST, "MaxSessionDuration": 7200}
    role = ram.call("CreateRole", RoleName=holders["Role"], Description=ODD, **trusted)["Role"]
    assert (
        ram.call("GetRole", RoleName=holders["Role"])["Role"].items()
        >= {
            **role,
            **trusted,
        }.items()
    )
    for action, outer in (("ListRoles", "Role"), ("ListGroups", "Group")):
        names = [one[f"{outer}Name"] for one in pages(ram, action, f"{outer}s", outer)]
        assert holders[outer] in names
    assert ram.call("GetGroup", GroupName=holders["Group"])["Group"]["Comments"] == ODD

    both = {"UserName": holders["User"], "GroupName": holders["Group"]}
    ram.call("AddUserToGroup", **both)
    groups = ram.call("ListGroupsForUser", UserName=holders["User"])
    assert listed(groups, "Groups", "Group", "GroupName") == [holders["Group"]]
    members = ram.call("ListUsersForGroup", GroupName=holders["Group"])
    assert listed(members, "Users", "User", "UserName") == [holders["User"]]

    for kind, name in holders.items():
        holder = {f"{kind}Name": name}
        ram.call(f"AttachPolicyTo{kind}", **holder, **named)
        attached = ram.call(f"ListPoliciesFor{kind}", **holder)
        assert listed(attached, "Policies", "Policy", "PolicyName") == [policy["PolicyName"]]
    entities = ram.call("ListEntitiesForPolicy", **named)
    for kind, name in holders.items():
        assert listed(entities, f"{kind}s", kind, f"{kind}Name") == [name]
    assert ram.call("GetPolicy", **named)["Policy"]["AttachmentCount"] == len(holders)

    for kind, name in holders.items():
        holder = {f"{kind}Name": name}
        assert refusal("DeletePolicy", **policy).startswith("DeleteConflict.Policy.")
        assert refusal(f"Delete{kind}", **holder).startswith(f"DeleteConflict.{kind}.")
        ram.call(f"DetachPolicyFrom{kind}", **holder, **named)
        assert refusal(f"DetachPolicyFrom{kind}", **holder, **named).startswith("EntityNotExist.")
    ram.call("RemoveUserFromGroup", **both)
    ram.call("DeletePolicy", **policy)
    for kind, name in holders.items():
        ram.call(f"Delete{kind}", **{f"{kind}Name": name})
