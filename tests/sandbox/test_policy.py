"""Policy evaluation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alibroker.sandbox import policy

HOME = "acs:oss:oss-cn-hangzhou:1:mine"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "1", "Statement": list(statements)})


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource}


@pytest.mark.parametrize(
    ("statements", "action", "resource", "expected"),
    [
        ([allow("oss:*", "*")], "oss:PutObject", f"{HOME}/a", True),
        ([allow("oss:Get*", "*")], "oss:PutObject", f"{HOME}/a", None),
        ([allow("OSS:getobject", "*")], "oss:GetObject", f"{HOME}/a", True),
        ([allow("oss:GetObject", "acs:oss:*:*:mine/*")], "oss:GetObject", f"{HOME}/a/b", True),
        ([allow("oss:GetObject", "acs:oss:*:*:mine")], "oss:GetObject", f"{HOME}/a", None),
        ([allow("oss:GetObject", "acs:oss:*:*:mine/*")], "oss:GetObject", f"{HOME}2/a", None),
        ([allow("oss:*", "acs:oss:*:*:min?")], "oss:GetBucketInfo", HOME, True),
        ([allow("oss:*", "acs:oss:*:*:[m]ine")], "oss:GetBucketInfo", HOME, None),
        ([allow(["oss:*"], ["*"]), deny("oss:Delete*", "*")], "oss:DeleteBucket", HOME, False),
        ([deny("oss:Delete*", "*"), allow("oss:*", "*")], "oss:DeleteBucket", HOME, False),
        (
            [{"Effect": "Allow", "NotAction": "oss:Delete*", "Resource": "*"}],
            "oss:DeleteBucket",
            HOME,
            None,
        ),
        (
            [{"Effect": "Deny", "Action": "*", "NotResource": "acs:oss:*:*:mine*"}],
            "oss:GetObject",
            "acs:oss:oss-cn-hangzhou:1:yours/a",
            False,
        ),
    ],
)
def test_a_call_is_decided(
    statements: list[dict[str, Any]], action: str, resource: str, *, expected: bool | None
) -> None:
    parsed = policy.parse(document(*statements))
    assert policy.decide(parsed, action, resource, {}) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}, True),
        ({"IpAddress": {"acs:SourceIp": "192.168.0.0/16"}}, None),
        ({"NotIpAddress": {"acs:SourceIp": "10.0.0.0/8"}}, None),
        ({"Bool": {"acs:SecureTransport": True}}, None),
        ({"StringLike": {"oss:Prefix": "a*"}}, None),
        ({"StringNotEquals": {"oss:Prefix": "a"}}, True),
    ],
)
def test_conditions_are_evaluated(condition: dict[str, Any], *, expected: bool | None) -> None:
    parsed = policy.parse(document(allow("*", "*", Condition=condition)))
    context = {"acs:sourceip": "10.1.2.3", "acs:securetransport": "false"}
    assert policy.decide(parsed, "oss:GetObject", "x", context) is expected


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"Version": "2", "Statement": []}',
        '{"Version": "1", "Statement": []}',
        document({"Effect": "Maybe", "Action": "*", "Resource": "*"}),
        document({"Effect": "Allow", "Action": "*"}),
        document({"Effect": "Allow", "Action": [], "Resource": "*"}),
        document({"Effect": "Allow", "Action": 1, "Resource": "*"}),
        document(allow("*", "*", Condition={"NumericEquals": {"a": 1}})),
        document(allow("*", "*", Condition={"IpAddress": {"acs:SourceIp": "no address"}})),
        document(allow("*", "*", Principal=["*"])),
    ],
)
def test_a_bad_document_is_refused(text: str) -> None:
    with pytest.raises(policy.PolicyError):
        policy.parse(text)


def test_a_bucket_policy_needs_principals() -> None:
    with pytest.raises(policy.PolicyError):
        policy.parse(document(allow("*", "*")), with_principal=True)
    parsed = policy.parse(document(allow("*", "*", Principal=["1"])), with_principal=True)
    assert parsed[0].principals == {"1"}
