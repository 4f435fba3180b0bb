"""RAM: names, limits, the order of deletion, and what a user may do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}'


def policy(action: Any, resource: Any = "*", effect: str = "Allow") -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return json.dumps({"Version": "1", "Statement": [statement]})


@pytest.mark.parametrize(
    ("action", "parameters", "code"),
    [
        ("CreateUser", {}, "MissingParameter"),
        ("CreateUser", {"UserName": "a b"}, "InvalidParameter.UserName.InvalidChars"),
        ("CreateUser", {"UserName": "a" * 65}, "InvalidParameter.UserName.Length"),
        (
            "CreateUser",
            {"UserName": "fine", "DisplayName": "x" * 129},
            "InvalidParameter.DisplayName.Length",
        ),
        ("CreateGroup", {"GroupName": "a/b"}, "InvalidParameter.GroupName.InvalidChars"),
        (
            "CreatePolicy",
            {"PolicyName": "a_b", "PolicyDocument": DOCUMENT},
            "InvalidParameter.PolicyName.InvalidChars",
        ),
        (
            "CreatePolicy",
            {"PolicyName": "a", "PolicyDocument": "{}"},
            "MalformedPolicyDocument",
        ),
        (
            "CreatePolicy",
            {"PolicyName": "a", "PolicyDocument": DOCUMENT + " " * 6144},
            "InvalidParameter.PolicyDocument.Length",
        ),
        (
            "CreatePolicy",
            {"PolicyName": "AdministratorAccess", "PolicyDocument": DOCUMENT},
            "EntityAlreadyExists.Policy",
        ),
        ("GetUser", {"UserName": "nobody"}, "EntityNotExist.User"),
        ("DeleteUser", {"UserName": "nobody"}, "EntityNotExist.User"),
        ("CreateAccessKey", {"UserName": "nobody"}, "EntityNotExist.User"),
        ("GetGroup", {"GroupName": "nobody"}, "EntityNotExist.Group"),
        ("GetRole", {"RoleName": "nobody"}, "EntityNotExist.Role"),
        (
            "GetPolicy",
            {"PolicyName": "nothing", "PolicyType": "Custom"},
            "EntityNotExist.Policy",
        ),
        (
            "GetPolicy",
            {"PolicyName": "nothing", "PolicyType": "Odd"},
            "InvalidParameter.PolicyType",
        ),
        ("ListUsers", {"MaxItems": "1001"}, "InvalidParameter.MaxItems"),
        ("ListUsers", {"Marker": "x"}, "InvalidParameter.Marker"),
    ],
)
def test_a_bad_call_is_refused(
    owner: Any, action: str, parameters: dict[str, str], code: str
) -> None:
    assert owner.refusal("ram", action, **parameters) == code


def test_a_user_is_deleted_in_order(owner: Any, unique: Callable[[str], str]) -> None:
    user, group, rule = {"UserName": unique("u")}, {"GroupName": unique("g")}, unique("p")
    attachment = {"PolicyType": "Custom", "PolicyName": rule}
    owner.call("ram", "CreateUser", **user, Comments="for a test")
    owner.call("ram", "CreateGroup", **group)
    owner.call("ram", "CreatePolicy", PolicyName=rule, PolicyDocument=DOCUMENT)
    for action, parameters, code in (
        ("CreateUser", user, "EntityAlreadyExists.User"),
        ("CreateGroup", group, "EntityAlreadyExists.Group"),
        (
            "CreatePolicy",
            {"PolicyName": rule, "PolicyDocument": DOCUMENT},
            "EntityAlreadyExists.Policy",
        ),
    ):
        assert owner.refusal("ram", action, **parameters) == code
    key = owner.call("ram", "CreateAccessKey", **user)["AccessKey"]
    owner.call("ram", "AddUserToGroup", **user, **group)
    owner.call("ram", "AttachPolicyToUser", **user, **attachment)
    owner.call("ram", "AttachPolicyToGroup", **group, **attachment)

    def refused(action: str, code: str, **parameters: str) -> None:
        assert owner.refusal("ram", action, **parameters) == code

    refused("AddUserToGroup", "EntityAlreadyExists.User.Group", **user, **group)
    refused("AttachPolicyToUser", "EntityAlreadyExists.User.Policy", **user, **attachment)
    entities = owner.call("ram", "ListEntitiesForPolicy", **attachment)
    assert [u["UserName"] for u in entities["Users"]["User"]] == [user["UserName"]]
    assert [g["GroupName"] for g in entities["Groups"]["Group"]] == [group["GroupName"]]

    refused("DeleteUser", "DeleteConflict.User.Policy", **user)
    refused("DeletePolicy", "DeleteConflict.Policy.User", PolicyName=rule)
    owner.call("ram", "DetachPolicyFromUser", **user, **attachment)
    refused("DetachPolicyFromUser", "EntityNotExist.User.Policy", **user, **attachment)
    refused("DeletePolicy", "DeleteConflict.Policy.Group", PolicyName=rule)
    refused("DeleteUser", "DeleteConflict.User.Group", **user)
    refused("DeleteGroup", "DeleteConflict.Group.User", **group)
    owner.call("ram", "RemoveUserFromGroup", **user, **group)
    refused("RemoveUserFromGroup", "EntityNotExist.User.Group", **user, **group)
    refused("DeleteGroup", "DeleteConflict.Group.Policy", **group)
    owner.call("ram", "DetachPolicyFromGroup", **group, **attachment)
    owner.call("ram", "DeleteGroup", **group)
    refused("DeleteUser", "DeleteConflict.User.AccessKey", **user)
    delete = {**user, "UserAccessKeyId": key["AccessKeyId"]}
    owner.call("ram", "DeleteAccessKey", **delete)
    refused("DeleteAccessKey", "EntityNotExist.User.AccessKey", **delete)
    owner.call("ram", "DeleteUser", **user)
    owner.call("ram", "DeletePolicy", PolicyName=rule)
    refused("GetUser", "EntityNotExist.User", **user)


def test_a_user_has_two_keys_whose_secrets_are_shown_once(
    owner: Any, as_caller: Any, unique: Callable[[str], str]
) -> None:
    user = {"UserName": unique("u")}
    owner.call("ram", "CreateUser", **user)
    keys = [owner.call("ram", "CreateAccessKey", **user)["AccessKey"] for _ in range(2)]
    assert len({key["AccessKeySecret"] for key in keys}) == 2
    assert owner.refusal("ram", "CreateAccessKey", **user) == "LimitExceeded.User.AccessKey"
    listed = owner.call("ram", "ListAccessKeys", **user)
    assert [k["AccessKeyId"] for k in listed["AccessKeys"]["AccessKey"]] == [
        key["AccessKeyId"] for key in keys
    ]
    assert "Secret" not in json.dumps(listed)
    url = owner.url
    mine = as_caller(url, keys[0]["AccessKeyId"], keys[0]["AccessKeySecret"])
    assert mine.call("sts", "GetCallerIdentity")["Arn"].endswith(f"user/{user['UserName']}")
    off = {**user, "UserAccessKeyId": keys[0]["AccessKeyId"], "Status": "Inactive"}
    owner.call("ram", "UpdateAccessKey", **off)
    assert mine.refusal("sts", "GetCallerIdentity") == "InvalidAccessKeyId.Inactive"
    renamed = unique("r")
    owner.call("ram", "UpdateUser", **user, NewUserName=renamed)
    second = as_caller(url, keys[1]["AccessKeyId"], keys[1]["AccessKeySecret"])
    assert second.call("sts", "GetCallerIdentity")["Arn"].endswith(f"user/{renamed}")


def test_policy_versions_are_limited_and_deleted_with_cascading(
    owner: Any, unique: Callable[[str], str]
) -> None:
    rule = {"PolicyName": unique("p")}
    owner.call("ram", "CreatePolicy", **rule, PolicyDocument=DOCUMENT)
    for _ in range(4):
        owner.call("ram", "CreatePolicyVersion", **rule, PolicyDocument=policy("oss:Get*"))
    code = owner.refusal("ram", "CreatePolicyVersion", **rule, PolicyDocument=DOCUMENT)
    assert code == "LimitExceeded.Policy.Version"
    newest = owner.call(
        "ram",
        "CreatePolicyVersion",
        **rule,
        PolicyDocument=policy("oss:List*"),
        SetAsDefault="true",
        RotateStrategy="DeleteOldestNonDefaultVersionWhenLimitExceeded",
    )["PolicyVersion"]
    assert newest == {**newest, "VersionId": "v6", "IsDefaultVersion": True}
    got = owner.call("ram", "GetPolicy", **rule, PolicyType="Custom")
    assert json.loads(got["DefaultPolicyVersion"]["PolicyDocument"]) == json.loads(
        policy("oss:List*")
    )
    code = owner.refusal("ram", "DeletePolicyVersion", **rule, VersionId="v6")
    assert code == "DeleteConflict.Policy.Version.Default"
    code = owner.refusal("ram", "DeletePolicyVersion", **rule, VersionId="v2")
    assert code == "EntityNotExist.Policy.Version"
    owner.call("ram", "DeletePolicyVersion", **rule, VersionId="v1")
    assert owner.refusal("ram", "DeletePolicy", **rule) == "DeleteConflict.Policy.Version"
    owner.call("ram", "DeletePolicy", **rule, CascadingDelete="true")


def test_quotas_are_kept(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "0")
    owner = sandbox.owner
    sandbox.control("PUT", "settings", {"user_quota": 1, "group_quota": 1, "policy_quota": 1})
    for action, parameters, code in (
        ("CreateUser", {"UserName": "{}"}, "LimitExceeded.User"),
        ("CreateGroup", {"GroupName": "{}"}, "LimitExceeded.Group"),
        (
            "CreatePolicy",
            {"PolicyName": "{}", "PolicyDocument": DOCUMENT},
            "LimitExceeded.Policy",
        ),
    ):
        first = {name: text.replace("{}", "one") for name, text in parameters.items()}
        second = {name: text.replace("{}", "two") for name, text in parameters.items()}
        owner.call("ram", action, **first)
        assert owner.refusal("ram", action, **second) == code
    sandbox.control("PUT", "settings", {"group_quota": 20, "policy_quota": 20})
    for n in range(11):
        owner.call("ram", "CreateGroup", GroupName=f"g{n}")
        owner.call("ram", "CreatePolicy", PolicyName=f"p{n}", PolicyDocument=DOCUMENT)
    custom = {"UserName": "one", "PolicyType": "Custom"}
    for n in range(10):
        owner.call("ram", "AddUserToGroup", UserName="one", GroupName=f"g{n}")
        owner.call("ram", "AttachPolicyToUser", **custom, PolicyName=f"p{n}")
    code = owner.refusal("ram", "AddUserToGroup", UserName="one", GroupName="g10")
    assert code == "LimitExceeded.User.Group"
    code = owner.refusal("ram", "AttachPolicyToUser", **custom, PolicyName="p10")
    assert code == "LimitExceeded.User.Policy"


@pytest.mark.unjudged
def test_tags_are_one_parameter(owner: Any, unique: Callable[[str], str]) -> None:
    """As the vendor's models say, whose style is JSON text; the form of RDS stores nothing."""
    value = unique("v")
    tag = {"Key": "team", "Value": value}
    for name, given in (
        (unique("json"), {"Tag": json.dumps([tag])}),
        (unique("dots"), {"Tag__1__Key": "team", "Tag__1__Value": value}),
    ):
        owner.call("ram", "CreatePolicy", PolicyName=name, PolicyDocument=DOCUMENT, **given)

    def tagged(**given: str) -> list[tuple[str, Any]]:
        found = owner.call("ram", "ListPolicies", PolicyType="Custom", MaxItems="1000", **given)
        return [(one["PolicyName"][:4], one["Tags"]["Tag"]) for one in found["Policies"]["Policy"]]

    assert tagged(Tag=json.dumps([tag])) == [("json", [{"TagKey": "team", "TagValue": value}])]
    assert ("dots", []) in tagged(Tag__1__Key="team", Tag__1__Value=value)
    for text in ("team", "{}", '[{"key": "team"}]'):
        wrong = {"PolicyName": unique("p"), "PolicyDocument": DOCUMENT, "Tag": text}
        assert owner.refusal("ram", "CreatePolicy", **wrong) == "InvalidParameter.Tag"


def test_lists_come_in_pages(start: Callable[..., Any]) -> None:
    owner = start("--time-scale", "0").owner
    for n in range(5):
        owner.call("ram", "CreateUser", UserName=f"u{n}")
    first = owner.call("ram", "ListUsers", MaxItems=3)
    assert (first["IsTruncated"], len(first["Users"]["User"])) == (True, 3)
    rest = owner.call("ram", "ListUsers", MaxItems=3, Marker=first["Marker"])
    assert [user["UserName"] for user in rest["Users"]["User"]] == ["u3", "u4"]
    assert rest["IsTruncated"] is False
    system = owner.call("ram", "ListPolicies", PolicyType="System")["Policies"]["Policy"]
    assert "AliyunOSSFullAccess" in [one["PolicyName"] for one in system]


@pytest.mark.parametrize(
    ("documents", "allowed"),
    [
        ([], []),
        ([policy("rds:Describe*")], ["DescribeRegions"]),
        ([policy("rds:*")], ["DescribeRegions", "CreateDBInstance"]),
        ([policy("rds:*"), policy("rds:Create*", effect="Deny")], ["DescribeRegions"]),
        ([policy("rds:*", "acs:rds:*:*:dbinstance/rm-1")], []),
        ([policy("ram:ListUsers")], ["ListUsers"]),
    ],
)
def test_a_user_may_do_what_the_policies_allow(
    owner: Any,
    as_caller: Any,
    unique: Callable[[str], str],
    documents: list[str],
    allowed: list[str],
) -> None:
    user = {"UserName": unique("u")}
    owner.call("ram", "CreateUser", **user)
    for document in documents:
        name = unique("p")
        owner.call("ram", "CreatePolicy", PolicyName=name, PolicyDocument=document)
        owner.call("ram", "AttachPolicyToUser", **user, PolicyType="Custom", PolicyName=name)
    key = owner.call("ram", "CreateAccessKey", **user)["AccessKey"]
    mine = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])
    for product, action, refusal, passed in (
        ("rds", "DescribeRegions", "Forbidden.RAM", None),
        ("rds", "CreateDBInstance", "Forbidden.RAM", "MissingParameter"),
        ("ram", "ListUsers", "NoPermission", None),
    ):
        if action not in allowed:
            assert mine.refusal(product, action) == refusal
        elif passed is None:
            mine.call(product, action)
        else:
            assert mine.refusal(product, action) == passed


def test_a_groups_policies_count_for_its_members(
    owner: Any, as_caller: Any, unique: Callable[[str], str]
) -> None:
    user, group = {"UserName": unique("u")}, {"GroupName": unique("g")}
    owner.call("ram", "CreateUser", **user)
    owner.call("ram", "CreateGroup", **group)
    system = {"PolicyType": "System", "PolicyName": "AliyunRDSReadOnlyAccess"}
    owner.call("ram", "AttachPolicyToGroup", **group, **system)
    key = owner.call("ram", "CreateAccessKey", **user)["AccessKey"]
    mine = as_caller(owner.url, key["AccessKeyId"], key["AccessKeySecret"])
    assert mine.refusal("rds", "DescribeRegions") == "Forbidden.RAM"
    owner.call("ram", "AddUserToGroup", **user, **group)
    mine.call("rds", "DescribeRegions")
    members = owner.call("ram", "ListUsersForGroup", **group)["Users"]["User"]
    assert [member["UserName"] for member in members] == [user["UserName"]]
    groups = owner.call("ram", "ListGroupsForUser", **user)["Groups"]["Group"]
    assert [one["GroupName"] for one in groups] == [group["GroupName"]]


def test_a_password_and_a_second_factor_keep_a_user(
    owner: Any, unique: Callable[[str], str]
) -> None:
    user = {"UserName": unique("user-")}
    owner.call("ram", "CreateUser", **user)
    owner.call("ram", "CreateLoginProfile", Password="Aa1!Aa1!Aa1!", **user)
    again = owner.refusal("ram", "CreateLoginProfile", Password="Aa1!Aa1!Aa1!", **user)
    assert again == "EntityAlreadyExists.User.LoginProfile"
    assert owner.call("ram", "GetLoginProfile", **user)["LoginProfile"]["UserName"]
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
    owner.call("ram", "BindMFADevice", SerialNumber="acs:ram::1:mfa/x", **codes, **user)
    assert owner.refusal("ram", "DeleteUser", **user) == "DeleteConflict.User.LoginProfile"
    owner.call("ram", "DeleteLoginProfile", **user)
    assert owner.refusal("ram", "GetLoginProfile", **user) == "EntityNotExist.User.LoginProfile"
    assert owner.refusal("ram", "DeleteUser", **user) == "DeleteConflict.User.MFADevice"
    owner.call("ram", "UnbindMFADevice", **user)
    assert owner.refusal("ram", "UnbindMFADevice", **user) == "EntityNotExist.User.MFADevice"
    owner.call("ram", "DeleteUser", **user)
