"""A bucket's configuration: versioning, tags, lifecycle, encryption, policy, public access."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec

from alibroker.sandbox import policy
from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import xml
from alibroker.sandbox.oss.call import document
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call
    from alibroker.sandbox.oss.documents import Bucket

TAG_LIMIT = 20
TAG_KEY_BYTES = 64
TAG_VALUE_BYTES = 128
RULE_LIMIT = 1000
CORS_LIMIT = 10
_ALGORITHMS = ("AES256", "KMS", "SM4")
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def put_versioning(call: Call) -> Response:
    """Switch versioning."""
    bucket = call.find_bucket()
    root = _root(call, "VersioningConfiguration")
    status = root.findtext("Status") or ""
    if status not in ("Enabled", "Suspended"):
        raise xml.malformed("Status must be Enabled or Suspended")
    _save(call, msgspec.structs.replace(bucket, versioning=status))
    return Response(200)


def get_versioning(call: Call) -> Response:
    """Tell whether versioning was ever switched."""
    status = call.find_bucket().versioning
    return document("VersioningConfiguration", {"Status": status} if status else {})


def put_tagging(call: Call) -> Response:
    """Replace a bucket's tags."""
    bucket = call.find_bucket()
    root = _root(call, "Tagging")
    tags: dict[str, str] = {}
    for element in root.iterfind("TagSet/Tag"):
        key, value = element.findtext("Key") or "", element.findtext("Value") or ""
        if not 1 <= len(key.encode()) <= TAG_KEY_BYTES or len(value.encode()) > TAG_VALUE_BYTES:
            raise ApiError(400, "InvalidTag", "A tag is empty or too long.")
        if key in tags or key.startswith(("http://", "https://", "Aliyun", "acs:")):
            raise ApiError(400, "InvalidTag", "A tag is repeated or reserved.")
        tags[key] = value
    if len(tags) > TAG_LIMIT:
        raise ApiError(400, "InvalidTag", f"A bucket has at most {TAG_LIMIT} tags.")
    _save(call, msgspec.structs.replace(bucket, tags=tags))
    return Response(200)


def get_tagging(call: Call) -> Response:
    """List a bucket's tags; where there are none, the answer is an element with nothing in it."""
    tags = [{"Key": key, "Value": value} for key, value in call.find_bucket().tags.items()]
    return document("Tagging", {"TagSet": {"Tag": tags}} if tags else {})


def delete_tagging(call: Call) -> Response:
    """Remove a bucket's tags."""
    _save(call, msgspec.structs.replace(call.find_bucket(), tags={}))
    return Response(204)


def put_lifecycle(call: Call) -> Response:
    """Replace the lifecycle rules."""
    root = _root(call, "LifecycleConfiguration")
    rules = root.findall("Rule")
    if not 1 <= len(rules) <= RULE_LIMIT:
        raise xml.malformed(f"LifecycleConfiguration must hold 1 to {RULE_LIMIT} Rules")
    for number, rule in enumerate(rules):
        if rule.find("Prefix") is None or rule.findtext("Status") not in ("Enabled", "Disabled"):
            raise xml.malformed("every Rule needs a Prefix and a Status")
        if not rule.findtext("ID"):
            ET.SubElement(rule, "ID").text = f"rule-{number + 1}"
    return _configure(call, "lifecycle", ET.tostring(root, encoding="unicode"))


def put_cors(call: Call) -> Response:
    """Replace the rules for web pages of other origins; the sandbox only keeps them."""
    root = _root(call, "CORSConfiguration")
    rules = root.findall("CORSRule")
    if not 1 <= len(rules) <= CORS_LIMIT:
        raise xml.malformed(f"CORSConfiguration must hold 1 to {CORS_LIMIT} CORSRules")
    if any(
        not rule.findtext(name) for rule in rules for name in ("AllowedOrigin", "AllowedMethod")
    ):
        raise xml.malformed("every CORSRule needs an AllowedOrigin and an AllowedMethod")
    return _configure(call, "cors", ET.tostring(root, encoding="unicode"))


def put_encryption(call: Call) -> Response:
    """Choose the default encryption."""
    root = _root(call, "ServerSideEncryptionRule")
    algorithm = root.findtext("ApplyServerSideEncryptionByDefault/SSEAlgorithm")
    if algorithm not in _ALGORITHMS:
        raise ApiError(
            400,
            "InvalidEncryptionAlgorithmError",
            f"SSEAlgorithm must be one of {', '.join(_ALGORITHMS)}.",
        )
    return _configure(call, "encryption", ET.tostring(root, encoding="unicode"))


def put_policy(call: Call) -> Response:
    """Set the bucket's policy."""
    bucket = call.find_bucket()
    text = call.body.decode(errors="replace")
    try:
        statements = policy.parse(text, with_principal=True)
    except policy.PolicyError as error:
        raise ApiError(400, "InvalidPolicyDocument", str(error)) from None
    public = any(one.allow and "*" in one.principals for one in statements)
    if public and bucket.block_public_access:
        raise ApiError(
            403,
            "AccessDenied",
            "Put public bucket policy is not allowed while Block Public Access is enabled.",
            ec="0003-00000802",
        )
    return _configure(call, "policy", text)


def get_lifecycle(call: Call) -> Response:
    """Return the lifecycle rules."""
    return _configured(call, "lifecycle", "NoSuchLifecycle")


def get_cors(call: Call) -> Response:
    """Return the rules for web pages of other origins."""
    return _configured(call, "cors", "NoSuchCORSConfiguration")


def get_encryption(call: Call) -> Response:
    """Return the default encryption."""
    return _configured(call, "encryption", "NoSuchServerSideEncryptionRule")


def get_policy(call: Call) -> Response:
    """Return the bucket's policy as it was set."""
    text = call.find_bucket().configurations.get("policy")
    if text is None:
        raise _absent("policy", "NoSuchBucketPolicy")
    return Response(200, text.encode(), [("content-type", "application/json")])


def delete_lifecycle(call: Call) -> Response:
    """Remove the lifecycle rules."""
    return _unconfigure(call, "lifecycle")


def delete_cors(call: Call) -> Response:
    """Remove the rules for web pages of other origins."""
    return _unconfigure(call, "cors")


def delete_encryption(call: Call) -> Response:
    """Remove the default encryption."""
    return _unconfigure(call, "encryption")


def delete_policy(call: Call) -> Response:
    """Remove the bucket's policy."""
    return _unconfigure(call, "policy")


def put_public_access_block(call: Call) -> Response:
    """Switch Block Public Access."""
    bucket = call.find_bucket()
    root = _root(call, "PublicAccessBlockConfiguration")
    text = (root.findtext("BlockPublicAccess") or "").lower()
    if text not in ("true", "false"):
        raise xml.malformed("BlockPublicAccess must be true or false")
    _save(call, msgspec.structs.replace(bucket, block_public_access=text == "true"))
    return Response(200)


def get_public_access_block(call: Call) -> Response:
    """Tell whether public access is blocked."""
    blocked = str(call.find_bucket().block_public_access).lower()
    return document("PublicAccessBlockConfiguration", {"BlockPublicAccess": blocked})


def delete_public_access_block(call: Call) -> Response:
    """Stop blocking public access."""
    _save(call, msgspec.structs.replace(call.find_bucket(), block_public_access=False))
    return Response(204)


def _root(call: Call, tag: str) -> ET.Element:
    root = xml.parse(call.body)
    if root.tag != tag:
        raise xml.malformed(f"the root must be {tag}")
    return root


def _save(call: Call, bucket: Bucket) -> None:
    call.cloud.buckets.put(bucket.name, bucket)


def _configure(call: Call, name: str, text: str) -> Response:
    bucket = call.find_bucket()
    configurations = {**bucket.configurations, name: text}
    _save(call, msgspec.structs.replace(bucket, configurations=configurations))
    return Response(200)


def _configured(call: Call, name: str, code: str) -> Response:
    text = call.find_bucket().configurations.get(name)
    if text is None:
        raise _absent(name, code)
    return Response(200, (_HEAD + text).encode(), [("content-type", "application/xml")])


def _unconfigure(call: Call, name: str) -> Response:
    bucket = call.find_bucket()
    configurations = {key: text for key, text in bucket.configurations.items() if key != name}
    _save(call, msgspec.structs.replace(bucket, configurations=configurations))
    return Response(204)


def _absent(name: str, code: str) -> ApiError:
    return ApiError(404, code, f"The bucket has no {name} configuration.")
