"""The vendor's two OSS clients behind the same names, so that one reads what the other wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import alibabacloud_oss_v2 as oss_v2
import oss2
from oss2 import models

Settings = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A rule of a lifecycle."""

    name: str
    prefix: str
    days: int
    colder_after: int
    uploads_after: int
    old_versions_after: int


@dataclass(frozen=True)
class Origin:
    """A rule about web pages."""

    origins: list[str]
    methods: list[str]
    headers: list[str]
    exposed: list[str]
    seconds: int


Version = tuple[str, str, bool]
"""Key, version, and whether it is a delete marker."""


class Oss2:
    """oss2, the client that the broker uses."""

    def __init__(self, bucket: oss2.Bucket, service: oss2.Service) -> None:
        self._bucket = bucket
        self._service = service

    def create(self) -> None:
        self._bucket.create_bucket("private", models.BucketCreateConfig("IA", "ZRS"))

    def buckets(self, prefix: str) -> list[tuple[str, str]]:
        found = self._service.list_buckets(prefix=prefix).buckets
        return [(one.name, one.storage_class) for one in found]

    def configure(self, tags: dict[str, str], rule: Rule, origin: Origin) -> None:
        self._bucket.put_bucket_tagging(_tagging(tags))
        self._bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
        self._bucket.put_bucket_encryption(models.ServerSideEncryptionRule("KMS", "key-1"))
        self._bucket.put_bucket_public_access_block(True)
        self._bucket.put_bucket_lifecycle(
            models.BucketLifecycle(
                [
                    models.LifecycleRule(
                        rule.name,
                        rule.prefix,
                        expiration=models.LifecycleExpiration(rule.days),
                        abort_multipart_upload=models.AbortMultipartUpload(rule.uploads_after),
                        storage_transitions=[
                            models.StorageTransition(rule.colder_after, storage_class="Archive")
                        ],
                        noncurrent_version_expiration=models.NoncurrentVersionExpiration(
                            rule.old_versions_after
                        ),
                    )
                ]
            )
        )
        made = models.CorsRule(
            origin.origins, origin.methods, origin.headers, origin.exposed, origin.seconds
        )
        self._bucket.put_bucket_cors(models.BucketCors([made]))

    def settings(self) -> Settings:
        info = self._bucket.get_bucket_info()
        encryption = self._bucket.get_bucket_encryption()
        (rule,) = self._bucket.get_bucket_lifecycle().rules
        (origin,) = self._bucket.get_bucket_cors().rules
        (colder,) = rule.storage_transitions
        return {
            "info": (info.storage_class, info.data_redundancy_type, info.acl.grant),
            "places": (info.location, info.extranet_endpoint, info.intranet_endpoint),
            "tags": self._bucket.get_bucket_tagging().tag_set.tagging_rule,
            "versioning": {
                info.versioning_status,
                self._bucket.get_bucket_versioning().status,
            },
            "encryption": {
                (one.sse_algorithm, one.kms_master_keyid)
                for one in (encryption, info.bucket_encryption_rule)
            },
            "blocked": self._bucket.get_bucket_public_access_block().block_public_access,
            "rule": Rule(
                rule.id,
                rule.prefix,
                rule.expiration.days,
                colder.days,
                rule.abort_multipart_upload.days,
                rule.noncurrent_version_expiration.noncurrent_days,
            ),
            "origin": Origin(
                origin.allowed_origins,
                origin.allowed_methods,
                origin.allowed_headers,
                origin.expose_headers,
                origin.max_age_seconds,
            ),
        }

    def unset(self) -> None:
        self._bucket.delete_bucket_lifecycle()
        self._bucket.delete_bucket_cors()
        self._bucket.delete_bucket_encryption()
        self._bucket.delete_bucket_tagging()
        self._bucket.delete_bucket_public_access_block()
        self._bucket.put_bucket_versioning(models.BucketVersioningConfig("Suspended"))

    def bare(self) -> Settings:
        info = self._bucket.get_bucket_info()
        return {
            "tags": self._bucket.get_bucket_tagging().tag_set.tagging_rule,
            "versioning": self._bucket.get_bucket_versioning().status,
            "encryption": info.bucket_encryption_rule.sse_algorithm or "None",
            "blocked": self._bucket.get_bucket_public_access_block().block_public_access,
        }

    def put(self, key: str, content: bytes) -> str:
        version: str = self._bucket.put_object(key, content).versionid
        return version

    def get(self, key: str) -> bytes:
        content: bytes = self._bucket.get_object(key).read()
        return content

    def tag(self, key: str, tags: dict[str, str]) -> None:
        self._bucket.put_object_tagging(key, _tagging(tags))

    def tags(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self._bucket.get_object_tagging(key).tag_set.tagging_rule
        return found

    def set_policy(self, text: str) -> None:
        self._bucket.put_bucket_policy(text)

    def policy(self) -> str:
        return str(self._bucket.get_bucket_policy().policy)

    def delete(self, key: str) -> None:
        self._bucket.delete_object(key)

    def keys(self) -> list[str]:
        return [one.key for one in oss2.ObjectIteratorV2(self._bucket, max_keys=2)]

    def versions(self) -> list[Version]:
        found: list[Version] = []
        key = version = ""
        while True:
            page = self._bucket.list_object_versions(
                key_marker=key, versionid_marker=version, max_keys=3
            )
            found += [(one.key, one.versionid, False) for one in page.versions]
            found += [(one.key, one.versionid, True) for one in page.delete_marker]
            if not page.is_truncated:
                return found
            key, version = page.next_key_marker, page.next_versionid_marker

    def delete_versions(self, versions: list[Version]) -> None:
        listed = [models.BatchDeleteObjectVersion(key, version) for key, version, _ in versions]
        self._bucket.delete_object_versions(models.BatchDeleteObjectVersionList(listed))

    def begin(self, key: str) -> str:
        upload: str = self._bucket.init_multipart_upload(key).upload_id
        return upload

    def part(self, key: str, upload: str, number: int, content: bytes) -> None:
        self._bucket.upload_part(key, upload, number, content)

    def parts(self, key: str, upload: str) -> dict[int, str]:
        return {one.part_number: one.etag for one in self._bucket.list_parts(key, upload).parts}

    def complete(self, key: str, upload: str, parts: dict[int, str]) -> None:
        listed = [models.PartInfo(number, etag) for number, etag in parts.items()]
        self._bucket.complete_multipart_upload(key, upload, listed)

    def uploads(self) -> list[tuple[str, str]]:
        found = self._bucket.list_multipart_uploads().upload_list
        return [(one.key, one.upload_id) for one in found]

    def abort(self, key: str, upload: str) -> None:
        self._bucket.abort_multipart_upload(key, upload)

    def remove(self) -> None:
        self._bucket.delete_bucket()


def _tagging(tags: dict[str, str]) -> models.Tagging:
    rule = models.TaggingRule()
    for key, value in tags.items():
        rule.add(key, value)
    return models.Tagging(rule)


class OssV2:
    """alibabacloud_oss_v2, the newest client."""

    def __init__(self, client: oss_v2.Client, name: str) -> None:
        self._client = client
        self._name = name

    def _call(self, operation: str, **given: Any) -> Any:
        """Make an operation's request, and send it."""
        request = getattr(oss_v2, "".join(map(str.capitalize, operation.split("_"))) + "Request")
        return getattr(self._client, operation)(request(bucket=self._name, **given))

    def create(self) -> None:
        config = oss_v2.CreateBucketConfiguration(storage_class="IA", data_redundancy_type="ZRS")
        self._call("put_bucket", acl="private", create_bucket_configuration=config)

    def buckets(self, prefix: str) -> list[tuple[str, str]]:
        found = self._client.list_buckets(oss_v2.ListBucketsRequest(prefix=prefix)).buckets
        return [(one.name, one.storage_class) for one in found or []]

    def configure(self, tags: dict[str, str], rule: Rule, origin: Origin) -> None:
        self._call("put_bucket_tags", tagging=_tagging_v2(tags))
        self._version("Enabled")
        default = oss_v2.ApplyServerSideEncryptionByDefault(
            sse_algorithm="KMS", kms_master_key_id="key-1"
        )
        self._call(
            "put_bucket_encryption",
            server_side_encryption_rule=oss_v2.ServerSideEncryptionRule(
                apply_server_side_encryption_by_default=default
            ),
        )
        wanted = oss_v2.PublicAccessBlockConfiguration(block_public_access=True)
        self._call("put_bucket_public_access_block", public_access_block_configuration=wanted)
        made = oss_v2.LifecycleRule(
            id=rule.name,
            prefix=rule.prefix,
            status="Enabled",
            expiration=oss_v2.LifecycleRuleExpiration(days=rule.days),
            abort_multipart_upload=oss_v2.LifecycleRuleAbortMultipartUpload(
                days=rule.uploads_after
            ),
            transitions=[
                oss_v2.LifecycleRuleTransition(days=rule.colder_after, storage_class="Archive")
            ],
            noncurrent_version_expiration=oss_v2.NoncurrentVersionExpiration(
                noncurrent_days=rule.old_versions_after
            ),
        )
        self._call(
            "put_bucket_lifecycle", lifecycle_configuration=oss_v2.LifecycleConfiguration([made])
        )
        page = oss_v2.CORSRule(
            allowed_origins=origin.origins,
            allowed_methods=origin.methods,
            allowed_headers=origin.headers,
            expose_headers=origin.exposed,
            max_age_seconds=origin.seconds,
        )
        self._call("put_bucket_cors", cors_configuration=oss_v2.CORSConfiguration([page]))

    def _version(self, status: str) -> None:
        wanted = oss_v2.VersioningConfiguration(status=status)
        self._call("put_bucket_versioning", versioning_configuration=wanted)

    def _blocked(self) -> bool:
        answer = self._call("get_bucket_public_access_block")
        blocked: bool = answer.public_access_block_configuration.block_public_access
        return blocked

    def _tags(self) -> dict[str, str]:
        found = self._call("get_bucket_tags").tagging.tag_set
        return {one.key: one.value or "" for one in found.tags} if found is not None else {}

    def settings(self) -> Settings:
        info = self._call("get_bucket_info").bucket_info
        encryption = self._call("get_bucket_encryption").server_side_encryption_rule
        default = encryption.apply_server_side_encryption_by_default
        (rule,) = self._call("get_bucket_lifecycle").lifecycle_configuration.rules
        (origin,) = self._call("get_bucket_cors").cors_configuration.cors_rules
        (colder,) = rule.transitions
        return {
            "info": (info.storage_class, info.data_redundancy_type, info.acl),
            "places": (info.location, info.extranet_endpoint, info.intranet_endpoint),
            "tags": self._tags(),
            "versioning": {info.versioning, self._call("get_bucket_versioning").version_status},
            "encryption": {
                (one.sse_algorithm, one.kms_master_key_id) for one in (default, info.sse_rule)
            },
            "blocked": self._blocked(),
            "rule": Rule(
                rule.id,
                rule.prefix,
                rule.expiration.days,
                colder.days,
                rule.abort_multipart_upload.days,
                rule.noncurrent_version_expiration.noncurrent_days,
            ),
            "origin": Origin(
                origin.allowed_origins,
                origin.allowed_methods,
                origin.allowed_headers,
                origin.expose_headers,
                origin.max_age_seconds,
            ),
        }

    def unset(self) -> None:
        for what in ("lifecycle", "cors", "encryption", "tags", "public_access_block"):
            self._call(f"delete_bucket_{what}")
        self._version("Suspended")

    def bare(self) -> Settings:
        info = self._call("get_bucket_info").bucket_info
        return {
            "tags": self._tags(),
            "versioning": self._call("get_bucket_versioning").version_status,
            "encryption": info.sse_rule.sse_algorithm,
            "blocked": self._blocked(),
        }

    def put(self, key: str, content: bytes) -> str:
        version: str = self._call("put_object", key=key, body=content).version_id
        return version

    def get(self, key: str) -> bytes:
        content: bytes = self._call("get_object", key=key).body.content
        return content

    def tag(self, key: str, tags: dict[str, str]) -> None:
        self._call("put_object_tagging", key=key, tagging=_tagging_v2(tags))

    def tags(self, key: str) -> dict[str, str]:
        found = self._call("get_object_tagging", key=key).tag_set.tags
        return {one.key: one.value or "" for one in found}

    def set_policy(self, text: str) -> None:
        self._call("put_bucket_policy", body=text)

    def policy(self) -> str:
        body: str | bytes = self._call("get_bucket_policy").body
        return body if isinstance(body, str) else body.decode()

    def delete(self, key: str) -> None:
        self._call("delete_object", key=key)

    def keys(self) -> list[str]:
        pages = self._client.list_objects_v2_paginator(limit=2)
        request = oss_v2.ListObjectsV2Request(bucket=self._name)
        return [one.key for page in pages.iter_page(request) for one in page.contents or []]

    def versions(self) -> list[Version]:
        pages = self._client.list_object_versions_paginator(limit=3)
        found: list[Version] = []
        for page in pages.iter_page(oss_v2.ListObjectVersionsRequest(bucket=self._name)):
            found += [(one.key, one.version_id, False) for one in page.version or []]
            found += [(one.key, one.version_id, True) for one in page.delete_marker or []]
        return found

    def delete_versions(self, versions: list[Version]) -> None:
        listed = [oss_v2.DeleteObject(key=key, version_id=one) for key, one, _ in versions]
        self._call("delete_multiple_objects", objects=listed, encoding_type="url")

    def begin(self, key: str) -> str:
        upload: str = self._call("initiate_multipart_upload", key=key).upload_id
        return upload

    def part(self, key: str, upload: str, number: int, content: bytes) -> None:
        self._call("upload_part", key=key, upload_id=upload, part_number=number, body=content)

    def parts(self, key: str, upload: str) -> dict[int, str]:
        listed = self._call("list_parts", key=key, upload_id=upload).parts
        return {one.part_number: one.etag.strip('"') for one in listed or []}

    def complete(self, key: str, upload: str, parts: dict[int, str]) -> None:
        listed = [oss_v2.UploadPart(number, etag) for number, etag in parts.items()]
        self._call(
            "complete_multipart_upload",
            key=key,
            upload_id=upload,
            complete_multipart_upload=oss_v2.CompleteMultipartUpload(listed),
        )

    def uploads(self) -> list[tuple[str, str]]:
        found = self._call("list_multipart_uploads", encoding_type="url").uploads
        return [(one.key, one.upload_id) for one in found or []]

    def abort(self, key: str, upload: str) -> None:
        self._call("abort_multipart_upload", key=key, upload_id=upload)

    def remove(self) -> None:
        self._call("delete_bucket")


def _tagging_v2(tags: dict[str, str]) -> oss_v2.Tagging:
    listed = [oss_v2.Tag(key=key, value=value) for key, value in tags.items()]
    return oss_v2.Tagging(tag_set=oss_v2.TagSet(tags=listed))
