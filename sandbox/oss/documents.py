"""What OSS remembers. Object contents are files; the documents point at them."""

from __future__ import annotations

import msgspec


class Bucket(msgspec.Struct, frozen=True):
    """A bucket; names are global, so other accounts' buckets stand in the same table."""

    name: str
    owner: str
    created: float
    acl: str = "private"
    # Empty for the region that is simulated.
    region: str = ""
    storage_class: str = "Standard"
    redundancy: str = "LRS"
    versioning: str = ""
    block_public_access: bool = True
    tags: dict[str, str] = {}
    # Documents that are kept as they were sent: lifecycle, encryption (XML) and policy (JSON).
    configurations: dict[str, str] = {}
    # For how long objects are kept from being deleted; 0 for not at all.
    retention_days: int = 0
    retention_policy: str = ""
    # When the lifecycle rules were applied last.
    swept: float = 0.0


class Domain(msgspec.Struct, frozen=True):
    """A domain of the account's own that stands for a bucket."""

    name: str
    bucket: str
    bound: float


class Segment(msgspec.Struct, frozen=True):
    """A file of the data directory that holds an object's content, or a part of it."""

    file: str
    size: int


class Object(msgspec.Struct, frozen=True):
    """A version of an object, or a delete marker, which has no content.

    A multipart upload's has a segment for each part. `rank` orders the versions of a key, the
    newest first; `crc` is the CRC64 of the content as a decimal number.
    """

    bucket: str
    key: str
    segments: tuple[Segment, ...]
    size: int
    etag: str
    modified: float
    content_type: str = "application/octet-stream"
    kind: str = "Normal"
    headers: dict[str, str] = {}
    version: str = "null"
    rank: str = ""
    marker: bool = False
    crc: str = ""
    tags: dict[str, str] = {}
    # "default" stands for the bucket's.
    acl: str = "default"
    storage_class: str = "Standard"
    # Of an archived object: from when to when it can be read; 0 if nobody asked for that.
    restored_at: float = 0.0
    restored_until: float = 0.0
    # Of a symbolic link: the key that it stands for.
    target: str = ""


class Part(msgspec.Struct, frozen=True):
    """An uploaded part of a multipart upload."""

    number: int
    segment: Segment
    etag: str
    modified: float


class Upload(msgspec.Struct, frozen=True):
    """A multipart upload that was neither completed nor aborted."""

    id: str
    bucket: str
    key: str
    initiated: float
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = {}
    parts: dict[str, Part] = {}
    tags: dict[str, str] = {}
    storage_class: str = "Standard"
