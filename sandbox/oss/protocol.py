"""The OSS protocol: authentication, permission, the operation, and errors as XML."""

from __future__ import annotations

import base64
import email.utils
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from alibroker.sandbox.errors import ApiError
from alibroker.sandbox.oss import access, authentication, hosts, lifecycle, regions, routing, xml
from alibroker.sandbox.oss.call import Call, Content
from alibroker.sandbox.wire import Request, Response

if TYPE_CHECKING:
    from alibroker.sandbox.body import Body
    from alibroker.sandbox.cloud import Cloud


async def answer(cloud: Cloud, request: Request, body: Body) -> Response:
    """Answer one call, as one transaction."""
    content: Content | None = None
    try:
        now = time.time()
        operation = routing.demand(request)
        _, bucket, key = routing.split(request.path)
        caller = authentication.authenticate(cloud, request, now)
        if not operation.checks_keys:
            access.authorise(cloud, caller, operation, bucket, key, now, request.arguments)
        hosts.check_data(cloud, request, operation, bucket, key)
        signed = authentication.signed_region(request)
        if operation.name != "PutBucket":
            regions.check_endpoint(cloud, cloud.buckets.get(bucket), signed)
        call = Call(cloud, request, bucket, key, caller, now, signed or cloud.region)
        if operation.streams:
            content = await body.save(cloud.files)
            call = replace(call, content=content, now=time.time())
        else:
            call = replace(call, body=await body.read(operation.limit))
        lifecycle.apply(call)
        response = operation.run(call)
        cloud.store.commit()
    except ApiError as error:
        cloud.store.rollback()
        if content is not None:
            (cloud.files / content.file).unlink(missing_ok=True)
        return refuse(cloud, request, error)
    except BaseException:
        cloud.store.rollback()
        raise
    for name in call.discarded:
        (cloud.files / name).unlink(missing_ok=True)
    return replace(response, headers=[*response.headers, *_headers()])


def refuse(cloud: Cloud, request: Request, error: ApiError) -> Response:
    """Render an error answer; one to HEAD carries its document in a header."""
    headers = _headers()
    request_id = headers[0][1]
    _, bucket, _ = routing.split(request.path)
    place = f"oss-{authentication.signed_region(request) or cloud.region}.aliyuncs.com"
    ec = error.ec or "0001-00000000"
    body = xml.render(
        "Error",
        {
            "Code": error.code,
            "Message": error.message,
            "RequestId": request_id,
            "HostId": f"{bucket}.{place}" if bucket else place,
            **error.details,
            "EC": ec,
            "RecommendDoc": f"https://api.alibabacloud.com/troubleshoot?q={ec}",
        },
    )
    headers += [("content-type", "application/xml"), ("x-oss-ec", ec), *error.headers]
    if request.method == "HEAD":
        headers.append(("x-oss-err", base64.b64encode(body).decode()))
        body = b""
    return Response(error.status, body, headers, code=error.code)


def _headers() -> list[tuple[str, str]]:
    return [
        ("x-oss-request-id", secrets.token_hex(12).upper()),
        ("server", "AliyunOSS"),
        ("x-oss-server-time", "1"),
        ("date", email.utils.formatdate(usegmt=True)),
    ]
