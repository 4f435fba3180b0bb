"""Identities for the broker: RAM users that may do what a test allows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

POLICY = "the-policy-of-the-broker"
USER = "the-broker"
Row = tuple[str, list[str], str]
"""Feature, actions, resource."""


PAGE = Path(__file__).parents[2] / "docs" / "oss.md"


def documented() -> list[Row]:
    """Return the rows of what the broker may do, of the page about OSS."""
    section = PAGE.read_text().split("## What the broker may do")[1].split("\n## ")[0]
    found: list[Row] = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        actions = re.findall(r"`(\w+:\w+)`", cells[1]) if len(cells) == 3 else []
        if actions:
            named = re.findall(r"`(acs:[^`]+)`", cells[2])
            found.append((cells[0] or found[-1][0], actions, named[0] if named else found[-1][2]))
    return found


class Owner:
    """The account's owner, who makes the broker's identity."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def identity(self, rows: Iterable[Row]) -> dict[str, str]:
        """Make a RAM user that may do what the rows say; return the settings with its key."""
        statements = [
            {"Effect": "Allow", "Action": actions, "Resource": [resource]}
            for _, actions, resource in rows
        ]
        document = json.dumps({"Version": "1", "Statement": statements})
        self.call("CreateUser", UserName=USER)
        self.call("CreatePolicy", PolicyName=POLICY, PolicyDocument=document)
        self.call("AttachPolicyToUser", UserName=USER, PolicyName=POLICY, PolicyType="Custom")
        self.key = self.call("CreateAccessKey", UserName=USER)["AccessKey"]
        return {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": self.key["AccessKeyId"],
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": self.key["AccessKeySecret"],
        }

    def clean(self) -> None:
        self.call("DeleteAccessKey", UserName=USER, UserAccessKeyId=self.key["AccessKeyId"])
        self.call("DetachPolicyFromUser", UserName=USER, PolicyName=POLICY, PolicyType="Custom")
        self.call("DeleteUser", UserName=USER)
        self.call("DeletePolicy", PolicyName=POLICY)
