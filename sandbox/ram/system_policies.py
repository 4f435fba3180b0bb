"""The system policies that the sandbox knows."""

from __future__ import annotations

import json


def _allow(*actions: str) -> str:
    return json.dumps(
        {
            "Version": "1",
            "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
        },
        separators=(",", ":"),
    )


SYSTEM_POLICIES = {
    "AdministratorAccess": _allow("*"),
    "ReadOnlyAccess": _allow("*:Describe*", "*:Get*", "*:List*"),
    "AliyunOSSFullAccess": _allow("oss:*"),
    "AliyunOSSReadOnlyAccess": _allow("oss:Get*", "oss:List*"),
    "AliyunRAMFullAccess": _allow("ram:*"),
    "AliyunRAMReadOnlyAccess": _allow("ram:Get*", "ram:List*"),
    "AliyunRDSFullAccess": _allow("rds:*"),
    "AliyunRDSReadOnlyAccess": _allow("rds:Describe*", "rds:List*"),
    "AliyunSTSAssumeRoleAccess": _allow("sts:AssumeRole"),
    "AliyunVPCFullAccess": _allow("vpc:*"),
    "AliyunVPCReadOnlyAccess": _allow("vpc:Describe*"),
}
