"""What a binding may do with its bucket, and the RAM policy that says so."""

from __future__ import annotations

import enum
import json
import re
from typing import Any, Final

import msgspec

from alibroker.brokers.api import Json
from alibroker.brokers.digests import digest

_LOOK: Final = ("oss:GetBucketInfo", "oss:GetBucketLocation", "oss:GetBucketStat")
_LIST: Final = ("oss:ListObjects", "oss:ListObjectVersions")
_LIST_UPLOADS: Final = ("oss:ListMultipartUploads",)
_READ: Final = (
    "oss:GetObject",
    "oss:GetObjectAcl",
    "oss:GetObjectTagging",
    "oss:GetObjectVersion",
    "oss:GetObjectVersionTagging",
    "oss:RestoreObject",  # without it what is archived cannot be read
)
_WRITE: Final = (
    "oss:AbortMultipartUpload",
    "oss:ListParts",
    "oss:PutObject",
    "oss:PutObjectTagging",
)
_DELETE: Final = ("oss:DeleteObject", "oss:DeleteObjectTagging", "oss:DeleteObjectVersion")


class Level(enum.StrEnum):
    """The parameter `Access` of a binding."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    WRITE_ONLY = "write-only"


class Access(msgspec.Struct, frozen=True):
    """A level of access to the objects whose keys begin with `prefix`; empty for all."""

    level: Level = Level.READ_WRITE
    prefix: str = ""

    @classmethod
    def asked(cls, parameters: Json) -> Access:
        """Return what the parameters of a bind ask for; their schema has been checked."""
        return cls(
            Level(parameters.get("Access") or Level.READ_WRITE), parameters.get("Prefix", "")
        )

    @classmethod
    def granted(cls, owner: str, policy: str, document: str) -> Access | None:
        """Return the access that a policy of `owner` gives; None if it is none of ours.

        The name tells the level, whatever the text was in the version that wrote it.
        """
        for place in re.findall(r'"acs:oss:\*:\*:([a-z0-9-]+/[^"*]*)\*"', document):
            bucket, _, prefix = place.partition("/")
            for level in Level:
                access = cls(level, prefix)
                if access.policy_name(owner, bucket) == policy:
                    return access
        return None

    def parameters(self) -> Json:
        """Return the parameters of a bind that ask for this."""
        return {"Access": self.level.value} | ({"Prefix": self.prefix} if self.prefix else {})

    @property
    def reads(self) -> bool:
        """Whether objects may be listed and read."""
        return self.level is not Level.WRITE_ONLY

    @property
    def writes(self) -> bool:
        """Whether objects may be put."""
        return self.level is not Level.READ_ONLY

    def policy_name(self, owner: str, bucket: str) -> str:
        """Return the name of the policy that all bindings with this access to a bucket share.

        An account has room for 5,000 users, but for 1,500 policies only (RAM, Limitations).
        """
        return f"alibroker-{digest(owner, bucket, self.level, self.prefix, length=26)}"

    def policy_document(self, bucket: str) -> str:
        """Return the text of that policy (RAM, policy language; 6,144 characters at most)."""
        lists = (_LIST if self.reads else ()) + (
            _LIST_UPLOADS if self.level is Level.READ_WRITE else ()
        )
        objects = (
            (_READ if self.reads else ())
            + (_WRITE if self.writes else ())
            + (_DELETE if self.level is Level.READ_WRITE else ())
        )
        statements = [
            # Counting bytes and objects is for those who may see all of them.
            _allow(_LOOK[:2] if self.prefix or not self.reads else _LOOK, bucket),
            _allow(objects, f"{bucket}/{self.prefix}*"),
        ]
        if lists:
            statements.append(_allow(lists, bucket))
            if self.prefix:
                condition = {"StringLike": {"oss:Prefix": [f"{self.prefix}*"]}}
                statements[-1]["Condition"] = condition
        return json.dumps({"Version": "1", "Statement": statements}, separators=(",", ":"))


def _allow(actions: tuple[str, ...], resource: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": [f"acs:oss:*:*:{resource}"],
    }
