"""The accounts of the sandbox: the one that it is about, and a second one with a key of its own.

A request belongs to the account whose key has signed it. All that the two share is the names of
buckets, which the cloud gives out once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from alibroker.sandbox.cloud import Cloud
from alibroker.sandbox.identity import find_credential
from alibroker.sandbox.oss.documents import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from alibroker.sandbox.settings import Settings
    from alibroker.sandbox.wire import Request

_IN_HEADER: Final = re.compile(r"(?:ACS3|OSS4)-HMAC-SHA256 Credential=([^,/]+)|OSS ([^:]+):")
_IN_QUERY: Final = ("AccessKeyId", "OSSAccessKeyId", "x-oss-credential")


class Accounts:
    """Finds whose a request is."""

    def __init__(self, first: Cloud) -> None:
        """Open the second account as well, if it was opened before."""
        self.first = first
        self._directory: Path = first.directory / "second-account"
        self.second: Cloud | None = None
        if self._directory.exists():
            self.open_second()

    def open_second(self) -> Cloud:
        """Open the second account: the one that owns the buckets which are not the first's."""
        if self.second is None:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self.second = Cloud(self._directory, self.first.region)
            self.second.open_account(None, None, beside=self.first.owner)
            self.second.change_settings(self.first.settings)
            for bucket in self.first.buckets.values():
                if bucket.name not in self.second.buckets:
                    self.second.buckets.put(bucket.name, _name_of(bucket))
            self.second.store.commit()
        return self.second

    def of(self, key_id: str) -> Cloud:
        """Return the account that a key belongs to; the first one, if it is nobody's."""
        if self.second is not None and key_id and find_credential(self.second, key_id):
            return self.second
        return self.first

    def of_request(self, request: Request, values: dict[str, str]) -> Cloud:
        """Return the account whose key has signed a request with these parameters."""
        if self.second is None:
            return self.first
        found = _IN_HEADER.match(request.headers.get("authorization", ""))
        if found:
            return self.of(found[1] or found[2])
        texts = (values[name] for name in _IN_QUERY if name in values)
        return self.of(next(texts, "").partition("/")[0])

    def share_names(self) -> None:
        """Let each account know which names of buckets the other has taken or given up."""
        if self.second is None:
            return
        for mine, others in ((self.first, self.second), (self.second, self.first)):
            wanted = {one.name: one for one in mine.buckets.values() if one.owner == mine.owner.id}
            known = {one.name for one in others.buckets.values() if one.owner == mine.owner.id}
            for name in wanted.keys() - known:
                others.buckets.put(name, _name_of(wanted[name]))
            for name in known - wanted.keys():
                others.buckets.remove(name)
            others.store.commit()

    def change_settings(self, settings: Settings) -> None:
        """Replace the settings, which are the same for both."""
        for cloud in self._all():
            cloud.change_settings(settings)
            cloud.store.commit()

    def close(self) -> None:
        """Close what the second account is kept in."""
        if self.second is not None:
            self.second.store.close()

    def _all(self) -> Iterator[Cloud]:
        yield self.first
        if self.second is not None:
            yield self.second


def _name_of(bucket: Bucket) -> Bucket:
    return Bucket(name=bucket.name, owner=bucket.owner, created=bucket.created)
