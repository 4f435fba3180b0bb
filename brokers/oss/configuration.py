"""How a bucket is to be, as plan and parameters say, and how it is made so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from alibroker.brokers.alibabacloud.naming import tags
from alibroker.brokers.api import Json, Work
from alibroker.brokers.oss.storage import (
    NO_ENCRYPTION,
    PRIVATE,
    BucketCalls,
    BucketInfo,
    ListedBucket,
)

_STANDARD: Final = "Standard"
_LOCAL: Final = "LRS"


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be chosen about a bucket."""

    region: str
    name: str
    prefix: str
    storage_class: str
    redundancy: str
    acl: str
    block_public_access: bool
    versioning: bool
    encryption: str
    kms_key: str
    lifecycle: tuple[dict[str, Any], ...]
    cors: tuple[dict[str, Any], ...]
    tags: dict[str, str]


PREFIX: Final = "alibroker"
"""What names of buckets begin with that were not asked to begin otherwise."""
OWN_NAME: Final = re.compile(r"([a-z0-9-]+)-[a-z2-7]{10}-[0-9a-f]{16}")
"""A name that this broker made up."""
_TAG_KEY_BYTES: Final = 64
_TAG_VALUE_BYTES: Final = 128  # both: OSS, PutBucketTags
_OWN_TAGS: Final = ("alibroker", "service_catalog")
"""What the names of the broker's own tags begin with; the schemas keep them from users."""
FIXED: Final = {
    "region": "Region",
    "name": "BucketName",
    "prefix": "BucketPrefix",
    "storage_class": "StorageClass",
    "redundancy": "Redundancy",
}
"""What cannot be changed in a bucket that exists, with the names of the parameters."""
CHANGEABLE: Final = ("access", "versioning", "encryption", "lifecycle", "cors", "tags")
_FIELDS: Final = {"access": ("acl", "block_public_access"), "encryption": ("encryption", "kms_key")}


def configuration(
    work: Work, settings: Json, parameters: Json, *, region: str, owner: str
) -> Configuration:
    """Return what the settings of a plan and the parameters of an instance ask for.

    `region` is where a bucket is created whose parameters do not say; `owner` is the broker's name.
    """

    def chosen(parameter: str, setting: str, default: Any) -> Any:
        value = parameters.get(parameter)
        return settings.get(setting, default) if value is None else value

    # The Go program published `Acl` and read `ACL`.
    acl = str(parameters.get("ACL") or chosen("Acl", "acl", PRIVATE))
    blocked = chosen("BlockPublicAccess", "block_public_access", acl == PRIVATE)
    own = {str(key): str(value) for key, value in chosen("Tags", "tags", {}).items()}
    return Configuration(
        region=str(parameters.get("Region") or region),
        name=str(parameters.get("BucketName") or ""),
        prefix=str(parameters.get("BucketPrefix") or settings.get("prefix", "")),
        storage_class=str(chosen("StorageClass", "storage_class", _STANDARD)),
        redundancy=str(chosen("Redundancy", "redundancy", _LOCAL)),
        acl=acl,
        block_public_access=bool(blocked),
        versioning=bool(chosen("Versioning", "versioning", False)),
        encryption=str(chosen("Encryption", "encryption", NO_ENCRYPTION)),
        kms_key=str(chosen("KmsKeyId", "kms_key", "")),
        lifecycle=tuple(chosen("Lifecycle", "lifecycle", ())),
        cors=tuple(chosen("Cors", "cors", ())),
        tags=own | tags(work, owner),
    )


def contradiction(wanted: Configuration, parameters: Json) -> str:
    """Return what to change where parameters exclude each other, or OSS takes no such tags.

    Empty where nothing is wrong.
    """
    if wanted.acl != PRIVATE and wanted.block_public_access:
        return "a public ACL and BlockPublicAccess exclude each other: change one of the parameters"
    if wanted.name and parameters.get("BucketPrefix"):
        return "BucketName and BucketPrefix exclude each other: leave one of the parameters out"
    for key, value in wanted.tags.items():
        if len(key.encode()) > _TAG_KEY_BYTES or len(value.encode()) > _TAG_VALUE_BYTES:
            return (
                f"the tag {key} is too long: a key has at most {_TAG_KEY_BYTES} bytes of UTF-8, "
                f"and a value {_TAG_VALUE_BYTES}"
            )
    spellings = {parameters[name] for name in ("ACL", "Acl") if parameters.get(name)}
    if len(spellings) > 1:
        # Parameters of an update are merged with those in force.
        return "ACL and Acl are one parameter in two spellings: give both the same value"
    return ""


def facts(wanted: Configuration) -> Json:
    """Return what a record says of a bucket that is as it is wanted."""
    return {name: getattr(wanted, name) for name in ("acl", "versioning", "encryption")}


def parameters_of(
    listed: ListedBucket, info: BucketInfo, tags: Json, settings: Json, *, region: str
) -> Json:
    """Return the parameters that a bucket seems to have been made with, under a plan's settings.

    Rules of lifecycle and CORS are not looked for, so an update leaves them until it names them.
    """
    name = OWN_NAME.fullmatch(listed.name)
    default_prefix = settings.get("prefix") or PREFIX
    own = {key: value for key, value in tags.items() if not key.startswith(_OWN_TAGS)}
    seen = {
        "BucketName": ("" if name else listed.name, ""),
        "BucketPrefix": (name[1] if name else default_prefix, default_prefix),
        "Region": (listed.region, region),
        "StorageClass": (info.storage_class, settings.get("storage_class", _STANDARD)),
        "Redundancy": (info.redundancy, settings.get("redundancy", _LOCAL)),
        "ACL": (info.acl, settings.get("acl", PRIVATE)),
        "Versioning": (info.versioning, settings.get("versioning", False)),
        "Encryption": (info.encryption, settings.get("encryption", NO_ENCRYPTION)),
        "KmsKeyId": (info.kms_key, settings.get("kms_key", "")),
        "Tags": (own, settings.get("tags", {})),
    }
    return {name: value for name, (value, default) in seen.items() if value != default}


def differences(one: Configuration, other: Configuration) -> list[str]:
    """Return the parts, out of CHANGEABLE, in which two configurations differ."""
    return [
        part
        for part in CHANGEABLE
        if any(getattr(one, name) != getattr(other, name) for name in _FIELDS.get(part, (part,)))
    ]


def unlike_new(wanted: Configuration) -> list[str]:
    """Return the parts that have to be set in a bucket that was created private a moment ago.

    Public access is blocked in new buckets, but not in all regions yet, so that is always said.
    """
    fresh = msgspec.structs.replace(
        wanted, versioning=False, encryption=NO_ENCRYPTION, kms_key="", lifecycle=(), cors=()
    )
    access = "access" if wanted.acl != PRIVATE else "block"
    return ["tags", access, *differences(wanted, fresh)]


def apply(bucket: BucketCalls, wanted: Configuration, parts: Iterable[str]) -> None:
    """Make a bucket as it is wanted in these parts; doing it twice is harmless."""
    for part in parts:
        match part:
            case "access":
                _set_access(bucket, wanted)
            case "block":
                bucket.block_public_access(block=wanted.block_public_access)
            case "versioning":
                bucket.set_versioning(on=wanted.versioning)
            case "encryption" if wanted.encryption == NO_ENCRYPTION:
                bucket.remove_encryption()
            case "encryption":
                bucket.set_encryption(wanted.encryption, wanted.kms_key)
            case "lifecycle":
                bucket.set_lifecycle(wanted.lifecycle)
            case "cors":
                bucket.set_cors(wanted.cors)
            case "tags":
                bucket.set_tags(wanted.tags)


def _set_access(bucket: BucketCalls, wanted: Configuration) -> None:
    # A public ACL is refused while public access is blocked, and blocking does not end one.
    if wanted.acl != PRIVATE:
        bucket.block_public_access(block=wanted.block_public_access)
        bucket.set_acl(wanted.acl)
    else:
        bucket.set_acl(wanted.acl)
        bucket.block_public_access(block=wanted.block_public_access)
