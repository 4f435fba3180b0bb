"""What is a slip in a secret, and what does harm in a description. I5, I6."""

from __future__ import annotations

import json

import msgspec
import pytest

from alibroker.brokers.alibabacloud.errors import CloudError, cloud_error
from alibroker.brokers.api import Failed, InProgress, OperationKind, TryAgainError, Work
from alibroker.brokers.contract import ContractError, checked_step, contained
from alibroker.brokers.rds.product import RDS
from alibroker.brokers.texts import plain, slip_in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The zone is sold out.", "The zone is sold out."),
        ("Größe 规格 🙂 is wrong", "Größe 规格 🙂 is wrong"),
        ("one\r\n2026 CRITICAL forged", "one 2026 CRITICAL forged"),
        ("nul\x00 here", "nul  here"),
        ("\x1b[31mred\x1b[0m and \x1b]0;title\x07", "red and  ]0;title"),
        ("right\u202eto left", "right to left"),
        ("two\u2028lines\x85more", "two lines more"),
        ("half \ud83d", "half \ufffd"),
        ("\t around \n", "around"),
        ("\x00", ""),
    ],
)
def test_a_description_is_one_line_without_tricks(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert json.loads(msgspec.json.encode(plain(text))) == shown


def test_a_secret_may_have_anything_that_can_be_typed() -> None:
    for secret in ("with spaces in it", "Größe 规格 🙂", "~`!@#$%^&*()_+{}|:<>?", "a:b"):
        assert slip_in(secret) == ""


BAD = "no\x1b[2J stock\nat all\x00"


def check(text: str) -> None:
    assert "stock" in text
    assert text.isprintable()


def test_the_clouds_words_lose_what_does_harm() -> None:
    error = cloud_error(
        product=RDS, action="CreateDBInstance", code="Odd\n", message=BAD, request_id="R\r\n1"
    )
    assert isinstance(error, CloudError)
    check(str(error))
    assert (error.code, error.request_id) == ("Odd", "R 1")


def test_what_is_hidden_between_control_characters_is_not_repeated() -> None:
    error = cloud_error(product=RDS, action="A", code="C", message="string\x00to\nsign is x")
    assert "sign" not in str(error)


def test_no_plugins_words_bring_control_characters_to_a_platform() -> None:
    work = Work(
        kind=OperationKind.PROVISION,
        instance_id="i",
        operation_id="o",
        service_id="s",
        plan_id="p",
        started_at=0.0,
        now=1.0,
    )
    failed = checked_step(work, Failed(reason=BAD))
    going_on = checked_step(work, InProgress(description=BAD))
    assert isinstance(failed, Failed)
    assert isinstance(going_on, InProgress)
    check(failed.reason)
    check(going_on.description)

    def waits() -> None:
        raise TryAgainError(BAD)

    def breaks() -> None:
        raise ValueError(BAD)

    with pytest.raises(TryAgainError) as again:
        contained(waits)
    check(again.value.reason)
    with pytest.raises(ContractError) as defect:
        contained(breaks)
    check(str(defect.value))
