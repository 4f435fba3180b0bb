"""Lifecycle rules at work: what is old enough expires or moves to another storage class.

They are applied when a request touches the bucket, at most once an hour before scaling. A day of
a rule is scaled too: with a time scale of 0 a rule applies at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.oss import versions, xml
from alibroker.sandbox.oss.buckets import STORAGE_CLASSES
from alibroker.sandbox.oss.listing import all_versions

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from alibroker.sandbox.oss.call import Call
    from alibroker.sandbox.oss.documents import Object

_HOUR, _DAY = 3600.0, 86_400.0
_NEVER = float("inf")


@dataclass(frozen=True)
class _Due:
    """When something is due: so many days after it began, or if it began before a time."""

    days: float = _NEVER
    before: float = 0.0

    def reached(self, began: float, now: float, day: float) -> bool:
        by_age = self.days != _NEVER and now >= began + self.days * day
        return by_age or began < self.before <= now


@dataclass(frozen=True)
class _Rule:
    prefix: str
    tags: frozenset[tuple[str, str]]
    expiry: _Due
    noncurrent_expiry: _Due
    abort: _Due
    markers: bool
    transitions: tuple[tuple[_Due, str], ...]
    noncurrent_transitions: tuple[tuple[_Due, str], ...]

    def concerns(self, found: Object) -> bool:
        return found.key.startswith(self.prefix) and self.tags <= found.tags.items()


def apply(call: Call) -> None:
    """Do what the bucket's rules ask for, if it is time to look again."""
    bucket = call.cloud.buckets.get(call.bucket)
    if bucket is None or "lifecycle" not in bucket.configurations:
        return
    scale = call.cloud.settings.time_scale
    if call.now < bucket.swept + _HOUR * scale:
        return
    call.cloud.buckets.put(bucket.name, msgspec.structs.replace(bucket, swept=call.now))
    rules = _parse(bucket.configurations["lifecycle"])
    newer: Object | None = None
    listed = list(all_versions(call, "", "", ""))
    counts: dict[str, int] = {}
    for found in listed:
        counts[found.key] = counts.get(found.key, 0) + 1
    for found in listed:
        # The newest version of a key comes first; the others are as old as what replaced them.
        newer = newer if newer is not None and newer.key == found.key else None
        for rule in rules:
            if rule.concerns(found) and _act(call, rule, found, newer, counts[found.key], scale):
                break
        newer = found
    for upload in list(call.cloud.uploads.within(f"{bucket.name}/")):
        if any(
            upload.key.startswith(rule.prefix)
            and rule.abort.reached(upload.initiated, call.now, _DAY * scale)
            for rule in rules
        ):
            call.discarded.extend(part.segment.file for part in upload.parts.values())
            call.cloud.uploads.remove(f"{bucket.name}/{upload.key}\0{upload.id}")


def _act(
    call: Call, rule: _Rule, found: Object, newer: Object | None, count: int, scale: float
) -> bool:
    """Apply one rule to one version; return whether the version is gone."""
    now, day = call.now, _DAY * scale
    if newer is not None:
        if rule.noncurrent_expiry.reached(newer.modified, now, day):
            versions.remove(call, found.key, found.version)
            return True
        _move(call, rule.noncurrent_transitions, found, newer.modified, day)
        return False
    if found.marker:
        if rule.markers and count == 1:
            versions.remove(call, found.key, found.version)
        return rule.markers
    if rule.expiry.reached(found.modified, now, day):
        versions.remove(call, found.key)
        return True
    _move(call, rule.transitions, found, found.modified, day)
    return False


def _move(
    call: Call,
    transitions: tuple[tuple[_Due, str], ...],
    found: Object,
    began: float,
    day: float,
) -> None:
    due = [name for when, name in transitions if when.reached(began, call.now, day)]
    coldest = max(due, key=STORAGE_CLASSES.index, default=found.storage_class)
    if not found.marker and _colder(coldest, found.storage_class):
        versions.replace(call, msgspec.structs.replace(found, storage_class=coldest))


def _colder(one: str, other: str) -> bool:
    return STORAGE_CLASSES.index(one) > STORAGE_CLASSES.index(other)


@lru_cache(maxsize=256)
def _parse(text: str) -> tuple[_Rule, ...]:
    root = xml.parse(text.encode())
    return tuple(
        _rule(rule) for rule in root.iterfind("Rule") if rule.findtext("Status") == "Enabled"
    )


def _rule(rule: ET.Element) -> _Rule:
    return _Rule(
        prefix=rule.findtext("Prefix") or "",
        tags=frozenset(
            (one.findtext("Key") or "", one.findtext("Value") or "") for one in rule.iterfind("Tag")
        ),
        expiry=_due(rule.find("Expiration")),
        noncurrent_expiry=_due(rule.find("NoncurrentVersionExpiration")),
        abort=_due(rule.find("AbortMultipartUpload")),
        markers=(rule.findtext("Expiration/ExpiredObjectDeleteMarker") or "").lower() == "true",
        transitions=_transitions(rule, "Transition"),
        noncurrent_transitions=_transitions(rule, "NoncurrentVersionTransition"),
    )


def _transitions(rule: ET.Element, name: str) -> tuple[tuple[_Due, str], ...]:
    found = ((_due(one), one.findtext("StorageClass") or "") for one in rule.iterfind(name))
    return tuple((due, target) for due, target in found if target in STORAGE_CLASSES)


def _due(element: ET.Element | None) -> _Due:
    if element is None:
        return _Due()
    days = element.findtext("Days") or element.findtext("NoncurrentDays")
    if days and days.isdecimal():
        return _Due(days=float(days))
    before = element.findtext("CreatedBeforeDate") or element.findtext("Date")
    try:
        return _Due(before=datetime.fromisoformat(before).timestamp()) if before else _Due()
    except ValueError:
        return _Due()
