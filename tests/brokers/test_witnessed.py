"""The vendor's newest models know all that the brokers' code names, and reading is overheard."""

from __future__ import annotations

import sys
from typing import Any

import broker_calls
import pytest
import vendor_models
from eavesdropper import Eavesdropper

from alibroker.brokers.rds.product import RDS

RPC = sorted(one for one in broker_calls.actions() if one[0] != "oss")


@pytest.mark.parametrize(("product", "action"), RPC)
def test_the_models_know_an_action_and_its_parameters(product: str, action: str) -> None:
    model = vendor_models.request(product, action)
    assert model is not None
    assert broker_calls.actions()[product, action] <= model.keys()


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        (("rds", "CreateDBInstance"), {"Tag", "SecurityIPList", "ClientToken"}),
        (("rds", "CreateAccount"), {"AccountPassword", "AccountName"}),
        (("ram", "DeletePolicy"), {"PolicyName", "CascadingDelete"}),
        (("ram", "ListUsers"), set[str]()),
        (("vpc", "DescribeVSwitches"), {"VpcId", "PageSize"}),
        (("sts", "AssumeRoleWithOIDC"), {"OIDCToken", "RoleArn"}),
        (("oss", "PutBucketVersioning"), set[str]()),
    ],
)
def test_what_the_code_sends_is_collected(
    action: broker_calls.Action, parameters: set[str]
) -> None:
    assert parameters <= broker_calls.actions()[action]


def test_what_the_code_reads_is_collected() -> None:
    fields = broker_calls.fields()
    assert {"DBInstanceAttribute", "AccountPrivilege", "ServerCAUrl"} <= fields["rds"]
    assert {"IsTruncated", "AccessKeySecret"} <= fields["oss"]
    assert "Storage" not in fields["rds"]  # a parameter of users


class Client:
    """Stands in for the client's class, which is changed."""

    def call(self, _product: Any, _request: Any, *, secrets: Any = None) -> dict[str, Any]:
        assert secrets is None
        return {"Items": {"DBInstance": [{"DBInstanceId": "rm-1", "Engine": None}]}}


class Request:
    def get_action_name(self) -> str:
        return "DescribeDBInstances"

    def get_query_params(self) -> dict[str, str]:
        return {"Tag.1.Key": "a", "Action": "DescribeDBInstances", "SignatureNonce": "1"}

    def get_body_params(self) -> None:
        return None


def test_what_is_read_from_an_answer_is_overheard(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type("Module", (), {"CloudClient": type("Heard", (Client,), {})})
    monkeypatch.setitem(sys.modules, "alibroker.brokers.alibabacloud.client", module)
    overheard = Eavesdropper()
    overheard.listen()
    answer = module.CloudClient().call(RDS, Request())
    (row,) = answer["Items"]["DBInstance"]
    assert row["DBInstanceId"] == "rm-1"
    assert row.get("Engine") is None
    assert row.get("Port", 1) == 1
    action = ("rds", "DescribeDBInstances")
    (complaint,) = overheard.complaints()
    assert complaint.endswith("/Items/DBInstance/Port is read, which is not a field")
    assert overheard.complaints() == []
    assert overheard.answered.parameters == {action: {"Tag"}}
    missing = list(overheard.missing())
    assert "DescribeDBInstances of rds never answered /Items/DBInstance/Engine, which is read" in (
        missing
    )
    assert "DescribeDBInstances of rds was never sent with PageSize" in missing
    assert "GetPolicy of ram was never answered" in missing
    assert "brokers/oss never read PolicyDocument" in missing
