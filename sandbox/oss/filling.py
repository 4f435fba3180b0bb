"""Fills a bucket at once, for tests that need more than anybody wants to upload."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss.documents import Object, Upload

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud

_LIMIT = 100_000
_EMPTY = hashlib.md5(b"", usedforsecurity=False).hexdigest().upper()


class Filling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to put into a bucket: empty objects, each with so many old versions, and uploads."""

    bucket: str
    objects: Annotated[int, Meta(ge=0, le=_LIMIT)] = 0
    old_versions: Annotated[int, Meta(ge=0, le=100)] = 0
    uploads: Annotated[int, Meta(ge=0, le=_LIMIT)] = 0
    prefix: str = "filled/"


def fill(cloud: Cloud, filling: Filling) -> None:
    """Put it there, within the current transaction.

    Raises:
        ApiError: NoSuchBucket.
    """
    name = filling.bucket
    if name not in cloud.buckets:
        raise ApiError(404, "NoSuchBucket", f"There is no bucket {name}.")
    now = time.time()
    for number in range(filling.objects):
        key = f"{filling.prefix}{number:06d}"
        current = Object(
            bucket=name,
            key=key,
            segments=(),
            size=0,
            etag=_EMPTY,
            modified=now,
            crc="0",
            version=secrets.token_hex(16) if filling.old_versions else "null",
        )
        cloud.objects.put(f"{name}/{key}", current)
        for old in range(filling.old_versions):
            rank = f"{2**63 - old:019d}"
            version = msgspec.structs.replace(
                current, rank=rank, version=secrets.token_hex(16), marker=old % 2 == 1
            )
            cloud.history.put(f"{name}/{key}\0{rank}", version)
    for number in range(filling.uploads):
        upload = Upload(
            id=secrets.token_hex(16).upper(),
            bucket=name,
            key=f"{filling.prefix}upload-{number:06d}",
            initiated=now,
        )
        cloud.uploads.put(f"{name}/{upload.key}\0{upload.id}", upload)
