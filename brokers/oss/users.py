"""RAM users: one per binding, with a policy of its own that ends at the bucket."""

from __future__ import annotations

import json
from typing import Any, Final

from alibroker.brokers.alibabacloud.client import CloudClient, common_request
from alibroker.brokers.alibabacloud.errors import CloudError, Kind

_BUCKET_ACTIONS: Final = (
    "oss:GetBucketInfo",
    "oss:GetBucketLocation",
    "oss:GetBucketStat",
    "oss:ListMultipartUploads",
    "oss:ListObjects",
    "oss:ListObjectVersions",
)
_OBJECT_ACTIONS: Final = (
    "oss:AbortMultipartUpload",
    "oss:DeleteObject",
    "oss:DeleteObjectTagging",
    "oss:DeleteObjectVersion",
    "oss:GetObject",
    "oss:GetObjectAcl",
    "oss:GetObjectTagging",
    "oss:GetObjectVersion",
    "oss:ListParts",
    "oss:PutObject",
    "oss:PutObjectTagging",
)


class RamCalls:
    """RAM 2015-05-01. Every method raises `CloudError`."""

    def __init__(self, cloud: CloudClient) -> None:
        self._cloud = cloud

    def create_user(self, name: str, comment: str) -> None:
        """Create a user, unless it is there."""
        self._unless(Kind.EXISTS, "CreateUser", UserName=name, Comments=comment)

    def create_policy(self, name: str, bucket: str) -> None:
        """Create the policy for reading and writing a bucket's objects, unless it is there."""
        self._unless(
            Kind.EXISTS, "CreatePolicy", PolicyName=name, PolicyDocument=policy_document(bucket)
        )

    def attach(self, policy: str, user: str) -> None:
        """Attach a policy to a user, unless it is."""
        self._unless(
            Kind.EXISTS,
            "AttachPolicyToUser",
            PolicyType="Custom",
            PolicyName=policy,
            UserName=user,
        )

    def access_keys(self, user: str) -> list[str]:
        """Return the ids of a user's access keys; none if there is no user."""
        try:
            answer = self._call("ListAccessKeys", UserName=user)
        except CloudError as error:
            if error.kind is Kind.NOT_FOUND:
                return []
            raise
        keys = (answer.get("AccessKeys") or {}).get("AccessKey") or []
        return [key["AccessKeyId"] for key in keys]

    def create_access_key(self, user: str) -> tuple[str, str]:
        """Create an access key and return its id and its secret, which is shown only here."""
        key = self._call("CreateAccessKey", UserName=user)["AccessKey"]
        return key["AccessKeyId"], key["AccessKeySecret"]

    def delete_access_key(self, user: str, key_id: str) -> None:
        """Delete an access key, if it is there."""
        # AccessKeyId would be the signer's own.
        self._unless(Kind.NOT_FOUND, "DeleteAccessKey", UserAccessKeyId=key_id, UserName=user)

    def detach(self, policy: str, user: str) -> None:
        """Detach a policy from a user, if it is attached."""
        self._unless(
            Kind.NOT_FOUND,
            "DetachPolicyFromUser",
            PolicyType="Custom",
            PolicyName=policy,
            UserName=user,
        )

    def delete_user(self, name: str) -> None:
        """Delete a user that has no keys and no policies, if it is there."""
        self._unless(Kind.NOT_FOUND, "DeleteUser", UserName=name)

    def delete_policy(self, name: str) -> None:
        """Delete a policy with all its versions, if it is there."""
        self._unless(Kind.NOT_FOUND, "DeletePolicy", PolicyName=name, CascadingDelete="true")

    def _call(self, action: str, **parameters: str) -> dict[str, Any]:
        return self._cloud.call(common_request("Ram", action, **parameters))

    def _unless(self, kind: Kind, action: str, **parameters: str) -> None:
        try:
            self._call(action, **parameters)
        except CloudError as error:
            if error.kind is not kind:
                raise


def policy_document(bucket: str) -> str:
    """Return the text of the policy for one bucket (RAM, policy language)."""
    statements = [
        {"Effect": "Allow", "Action": list(actions), "Resource": [f"acs:oss:*:*:{resource}"]}
        for actions, resource in (
            (_BUCKET_ACTIONS, bucket),
            (_OBJECT_ACTIONS, f"{bucket}/*"),
        )
    ]
    return json.dumps({"Version": "1", "Statement": statements}, separators=(",", ":"))
