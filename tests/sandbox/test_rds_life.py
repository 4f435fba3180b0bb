"""The whole life of an instance, with the SDK's own request classes and with delays."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkrds.request.v20140815.CreateAccountRequest import CreateAccountRequest
from aliyunsdkrds.request.v20140815.CreateDatabaseRequest import CreateDatabaseRequest
from aliyunsdkrds.request.v20140815.CreateDBInstanceRequest import CreateDBInstanceRequest
from aliyunsdkrds.request.v20140815.DeleteDBInstanceRequest import DeleteDBInstanceRequest
from aliyunsdkrds.request.v20140815.DescribeAccountsRequest import DescribeAccountsRequest
from aliyunsdkrds.request.v20140815.DescribeDBInstancesRequest import DescribeDBInstancesRequest
from aliyunsdkrds.request.v20140815.GrantAccountPrivilegeRequest import (
    GrantAccountPrivilegeRequest,
)
from aliyunsdkrds.request.v20140815.TagResourcesRequest import TagResourcesRequest

if TYPE_CHECKING:
    from collections.abc import Callable


def ask(owner: Any, request: Any, **setters: Any) -> dict[str, Any]:
    for name, value in setters.items():
        getattr(request, f"set_{name}")(value)
    return json.loads(owner.client.do_action_with_exception(request))


def test_an_instance_lives_from_creating_to_gone(
    start: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    sandbox = start("--time-scale", "0.005")
    owner = sandbox.owner
    begun = time.monotonic()
    created = ask(
        owner,
        CreateDBInstanceRequest(),
        Engine="MySQL",
        EngineVersion="8.0",
        DBInstanceClass="mysql.n2.medium.2c",
        DBInstanceStorage=20,
        DBInstanceNetType="Intranet",
        SecurityIPList="10.0.0.0/8,192.168.1.1",
        PayType="Postpaid",
        DBInstanceDescription="osb-life",
        ClientToken="life-1",
        Tags=[{"Key": "broker", "Value": "b-1"}],
    )
    name = created["DBInstanceId"]
    assert name.startswith("rm-")
    assert created["Port"] == "3306"
    assert created["ConnectionString"] == f"{name}.mysql.rds.aliyuncs.com"

    seen: list[str] = []

    def running() -> Any:
        page = ask(owner, DescribeDBInstancesRequest(), Tags='{"broker":"b-1"}', PageSize=100)
        items = page["Items"]["DBInstance"]
        seen.extend(item["DBInstanceStatus"] for item in items)
        return items and items[0]["DBInstanceStatus"] == "Running"

    eventually(running)
    assert seen[0] == "Creating"
    # 150 to 280 seconds at this scale.
    assert 0.7 < time.monotonic() - begun < 5

    def account() -> bool:
        request = CreateAccountRequest()
        request.add_body_params("AccountPassword", "Aa1!*xyz")
        ask(owner, request, DBInstanceId=name, AccountName="app1")
        return True

    eventually(account)
    ask(
        owner,
        CreateDatabaseRequest(),
        DBInstanceId=name,
        DBName="db_1",
        CharacterSetName="utf8mb4",
    )

    def grant() -> bool:
        ask(
            owner,
            GrantAccountPrivilegeRequest(),
            DBInstanceId=name,
            AccountName="app1",
            DBName="db_1",
            AccountPrivilege="ReadWrite",
        )
        return True

    eventually(grant)

    def granted() -> Any:
        answer = ask(owner, DescribeAccountsRequest(), DBInstanceId=name, AccountName="app1")
        return answer["Accounts"]["DBInstanceAccount"][0]["DatabasePrivileges"]["DatabasePrivilege"]

    assert eventually(granted) == [
        {"DBName": "db_1", "AccountPrivilege": "ReadWrite", "AccountPrivilegeDetail": "ReadWrite"}
    ]
    ask(
        owner,
        TagResourcesRequest(),
        ResourceType="INSTANCE",
        ResourceIds=[name],
        Tags=[{"Key": "more", "Value": "1"}],
    )
    assert sandbox.control("GET", "inventory")["rds"]["instances"][0]["tags"] == {
        "broker": "b-1",
        "more": "1",
    }
    owner.call("rds", "ModifyDBInstanceSpec", DBInstanceId=name, DBInstanceStorage=50)
    attribute = owner.call("rds", "DescribeDBInstanceAttribute", DBInstanceId=name)
    changing = attribute["Items"]["DBInstanceAttribute"][0]
    assert changing["DBInstanceStatus"] == "DBInstanceClassChanging"
    assert changing["DBInstanceStorage"] == 20
    tasks = owner.call("rds", "DescribeTasks", DBInstanceId=name)["Items"]["TaskProgressInfo"]
    assert [task["TaskAction"] for task in tasks] == ["ModifyDBInstanceSpec"]
    assert owner.refusal("rds", "DeleteDBInstance", DBInstanceId=name) == "IncorrectDBInstanceState"

    def grown() -> bool:
        answer = owner.call("rds", "DescribeDBInstanceAttribute", DBInstanceId=name)
        return bool(answer["Items"]["DBInstanceAttribute"][0]["DBInstanceStorage"] == 50)

    eventually(grown)
    ask(owner, DeleteDBInstanceRequest(), DBInstanceId=name)
    attribute = owner.call("rds", "DescribeDBInstanceAttribute", DBInstanceId=name)
    assert attribute["Items"]["DBInstanceAttribute"][0]["DBInstanceStatus"] == "Deleting"

    def gone() -> bool:
        try:
            owner.call("rds", "DescribeDBInstanceAttribute", DBInstanceId=name)
        except ServerException as error:
            return bool(error.get_error_code() == "InvalidDBInstanceId.NotFound")
        return False

    eventually(gone)
    assert sandbox.control("GET", "inventory")["rds"]["instances"] == []


def test_lists_lag_behind_a_creation(start: Callable[..., Any]) -> None:
    sandbox = start("--time-scale", "1")
    owner = sandbox.owner
    name = owner.create_instance(ClientToken="lag")
    listed = owner.call("rds", "DescribeDBInstances")
    assert listed["TotalRecordCount"] == 0
    refusal = owner.refusal("rds", "DescribeDBInstanceAttribute", DBInstanceId=name)
    assert refusal == "InvalidDBInstanceId.NotFound"
    # The creation itself is known at once, by its token and to changes.
    assert owner.create_instance(ClientToken="lag") == name
    assert owner.refusal("rds", "DeleteDBInstance", DBInstanceId=name) == "IncorrectDBInstanceState"


def test_account_actions_are_refused_for_a_while_after_running(
    start: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    sandbox = start("--time-scale", "0")
    owner = sandbox.owner
    # Creating is over at once, settling is not: the scale changes in between.
    first = owner.create_instance()
    account = {"AccountName": "app1", "AccountPassword": "Aa1!*xyz"}
    owner.call("rds", "CreateAccount", DBInstanceId=first, **account)
    sandbox.control("PUT", "settings", {"time_scale": 0.02})
    second = owner.create_instance()
    codes: list[str] = []

    def created() -> bool:
        try:
            owner.call("rds", "CreateAccount", DBInstanceId=second, **account)
        except ServerException as error:
            page = owner.call("rds", "DescribeDBInstances", DBInstanceId=second)
            status = [item["DBInstanceStatus"] for item in page["Items"]["DBInstance"]]
            if status == ["Running"]:
                codes.append(str(error.get_error_code()))
            raise
        return True

    eventually(created)
    assert set(codes) == {"IncorrectDBInstanceState"}


@pytest.mark.parametrize(
    ("form", "code"),
    [("id", "InvalidDBInstanceId.NotFound"), ("name", "InvalidDBInstanceName.NotFound")],
)
def test_an_unknown_instance_is_refused_in_the_chosen_form(
    sandbox: Any, owner: Any, form: str, code: str
) -> None:
    with sandbox.settings(not_found_form=form):
        for action in ("DescribeDBInstanceAttribute", "DeleteDBInstance", "DescribeAccounts"):
            assert owner.refusal("rds", action, DBInstanceId="rm-unknown") == code


def test_an_unknown_instance_can_be_an_empty_list(sandbox: Any, owner: Any) -> None:
    with sandbox.settings(not_found_form="empty"):
        answer = owner.call("rds", "DescribeDBInstanceAttribute", DBInstanceId="rm-unknown")
    assert answer["Items"]["DBInstanceAttribute"] == []
