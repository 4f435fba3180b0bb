"""What can be changed about an object without its content: tags and ACL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import access, versions, xml
from alibroker.sandbox.oss.buckets import ACLS, check_public, invalid_acl
from alibroker.sandbox.oss.call import Operation, document
from alibroker.sandbox.wire import Response

if TYPE_CHECKING:
    from alibroker.sandbox.oss.call import Call

TAG_LIMIT = 10
INHERITED = "default"


def put_tagging(call: Call) -> Response:
    """Replace an object's tags."""
    found = versions.find(call, call.key, call.argument("versionId"))
    root = xml.parse(call.body)
    listed = root.iterfind("TagSet/Tag")
    tags = {one.findtext("Key") or "": one.findtext("Value") or "" for one in listed}
    if root.tag != "Tagging" or len(tags) > TAG_LIMIT or "" in tags:
        raise ApiError(400, "InvalidTag", f"An object has at most {TAG_LIMIT} tags with keys.")
    versions.replace(call, msgspec.structs.replace(found, tags=tags))
    return Response(200)


def get_tagging(call: Call) -> Response:
    """List an object's tags."""
    found = versions.find(call, call.key, call.argument("versionId"))
    tags = [{"Key": key, "Value": value} for key, value in found.tags.items()]
    return document("Tagging", {"TagSet": {"Tag": tags}})


def delete_tagging(call: Call) -> Response:
    """Remove an object's tags."""
    found = versions.find(call, call.key, call.argument("versionId"))
    versions.replace(call, msgspec.structs.replace(found, tags={}))
    return Response(204)


def asked_acl(call: Call) -> str:
    """Return the ACL that the header x-oss-object-acl asks for.

    Raises:
        ApiError: InvalidArgument, or AccessDenied for want of a permission of its own, or while
            public access is blocked.
    """
    acl = call.request.headers.get("x-oss-object-acl", INHERITED)
    if acl not in (*ACLS, INHERITED):
        raise invalid_acl()
    check_public(acl, blocked=call.find_bucket().block_public_access)
    if acl != INHERITED:
        access.authorise(call.cloud, call.caller, _PUT_ACL, call.bucket, call.key, call.now)
    return acl


def put_acl(call: Call) -> Response:
    """Change an object's ACL."""
    found = versions.find(call, call.key, call.argument("versionId"))
    versions.replace(call, msgspec.structs.replace(found, acl=asked_acl(call)))
    return Response(200)


_PUT_ACL = Operation("PutObjectAcl", put_acl, "PutObjectAcl")


def get_acl(call: Call) -> Response:
    """Tell an object's ACL."""
    found = versions.find(call, call.key, call.argument("versionId"))
    owner = call.find_bucket().owner
    return document(
        "AccessControlPolicy",
        {
            "Owner": {"ID": owner, "DisplayName": owner},
            "AccessControlList": {"Grant": found.acl},
        },
    )
