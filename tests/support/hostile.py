"""Requests that are no HTTP, or not what the API allows, with the status that answers each."""

from __future__ import annotations

from drawers import PLAN, SERVICE
from wire import AUTHORIZATION, request

INSTANCE = b"/v2/service_instances/hostile"
CHUNKED = b"Transfer-Encoding: chunked"
OFFER = f'"service_id":"{SERVICE}","plan_id":"{PLAN}"'.encode()
BODY = b"{%s,%s}" % (OFFER, b'"organization_guid":"o","space_guid":"s"')
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")


def put(body: bytes, *headers: bytes, target: bytes = INSTANCE) -> bytes:
    return request(b"PUT", target, *headers, body=body)


def with_parameters(parameters: bytes) -> bytes:
    return put(b'{"parameters":%s,%s' % (parameters, BODY[1:]))


OF_THE_SERVER = {
    # What is no HTTP is answered before the application sees it.
    "both lengths": (request(b"PUT", INSTANCE, b"Content-Length: 3", CHUNKED), 400),
    "both lengths, reversed": (request(b"PUT", INSTANCE, CHUNKED, b"Content-Length: 3"), 400),
    "two lengths": (request(b"PUT", INSTANCE, b"Content-Length: 3", b"Content-Length: 4"), 400),
    "a signed length": (request(b"PUT", INSTANCE, b"Content-Length: +3"), 400),
    "a negative length": (request(b"PUT", INSTANCE, b"Content-Length: -3"), 400),
    "a length in words": (request(b"PUT", INSTANCE, b"Content-Length: three"), 400),
    "a length of thousands of digits": (
        request(b"PUT", INSTANCE, b"Content-Length: " + b"9" * 8_000),
        400,
    ),
    "an unknown transfer coding": (request(b"PUT", INSTANCE, b"Transfer-Encoding: x"), 501),
    "no chunk size": (request(b"PUT", INSTANCE, CHUNKED) + b"zz\r\n", 400),
    "a negative chunk size": (request(b"PUT", INSTANCE, CHUNKED) + b"-1\r\n", 400),
    "a longer chunk": (request(b"PUT", INSTANCE, CHUNKED) + b"1\r\nabc", 400),
    "chunked twice": (request(b"PUT", INSTANCE, b"Transfer-Encoding: chunked, chunked"), 400),
    "chunked not at the end": (request(b"PUT", INSTANCE, b"Transfer-Encoding: gzip"), 400),
    "chunked before HTTP/1.1": (request(b"PUT", INSTANCE, CHUNKED, version=b"HTTP/1.0"), 400),
    "a blank before the colon": (request(b"GET", INSTANCE, b"Transfer-Encoding : chunked"), 400),
    "NUL in a header": (request(b"GET", INSTANCE, b"X-A: a\0b"), 400),
    "CR in a header": (request(b"GET", INSTANCE, b"X-Broker-API-Request-Identity: a\rX: b"), 400),
    "LF in a header": (request(b"GET", INSTANCE, b"X-Broker-API-Request-Identity: a\nX: b"), 400),
    "a folded header": (request(b"GET", INSTANCE, b"X-A: a\r\n b"), 400),
    "lines that end in LF": (request().replace(b"\r\n", b"\n"), 400),
    "two hosts": (request(b"GET", INSTANCE, b"Host: elsewhere"), 400),
    "HTTP/3.7": (request(version=b"HTTP/3.7"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n", 400),
    "a method in lower case": (request(b"get"), 400),
    "a target that is not encoded": (request(b"GET", "/v2/ü".encode()), 400),
    "too long a target": (request(b"GET", b"/" + b"a" * 17_000), 414),
    "too long a header": (request(b"GET", INSTANCE, b"X-A: " + b"a" * 34_000), 431),
    "too long headers": (
        request(b"GET", INSTANCE, *[b"X-%d: %s" % (n, b"a" * 20_000) for n in range(4)]),
        431,
    ),
    "no host": (b"GET /v2/catalog HTTP/1.1\r\n\r\n", 400),
    "too many headers": (request(b"GET", INSTANCE, *[b"X-%d: a" % n for n in range(70)]), 431),
}
OF_THE_BROKER = {
    "an unknown method": (request(b"FOO"), 400),
    "TRACE": (request(b"TRACE"), 405),
    "POST": (request(b"POST", INSTANCE), 405),
    "CONNECT": (request(b"CONNECT", b"localhost:80"), 404),
    "OPTIONS of everything": (request(b"OPTIONS", b"*"), 404),
    "dots": (request(b"GET", b"/v2/../v2/catalog"), 404),
    "dots behind a probe": (request(b"GET", b"/healthz/../v2/catalog"), 404),
    "encoded dots": (request(b"GET", b"/v2/service_instances/%2e%2e/last_operation"), 404),
    "two slashes": (request(b"GET", b"/v2//catalog"), 404),
    "a slash at the end": (request(b"GET", b"/v2/catalog/"), 404),
    "an absolute target of another scheme": (request(b"GET", b"ftp://localhost/v2/catalog"), 404),
    "an absolute target of nobody": (request(b"GET", b"http:///v2/catalog"), 404),
    "an absolute target with an encoded slash": (
        request(b"GET", b"http://localhost" + INSTANCE + b"%2fx"),
        400,
    ),
    "an encoded slash": (request(b"GET", b"/v2%2Fcatalog"), 400),
    "an encoded slash in an id": (request(b"GET", INSTANCE + b"%2fx"), 400),
    "an empty id": (request(b"GET", b"/v2/service_instances/"), 400),
    "an id with NUL": (request(b"GET", INSTANCE + b"%00"), 400),
    "an id with a line end": (request(b"GET", INSTANCE + b"%0d%0aX:%20y"), 400),
    "an id in no UTF-8": (request(b"GET", INSTANCE + b"%c0%af"), 400),
    "half a character as id": (request(b"GET", INSTANCE + b"%ED%A0%80"), 400),
    "too long an id": (request(b"GET", INSTANCE + b"a" * 512), 400),
    "the longest id": (request(b"GET", b"/v2/service_instances/" + b"%F0%90%8D%88" * 512), 404),
    "a percent sign": (request(b"GET", INSTANCE + b"%"), 404),
    "a repeated parameter": (
        request(
            b"DELETE", INSTANCE + f"?service_id={SERVICE}&service_id=x&plan_id={PLAN}".encode()
        ),
        410,
    ),
    "an odd query": (request(b"DELETE", INSTANCE + b"?&&=&service_id&%00=%ff&plan_id=%zz"), 410),
    "several slashes and no version": (
        request(
            b"GET", b"//v2/catalog", b"Host: a", b"Authorization: " + AUTHORIZATION, usual=False
        ),
        412,
    ),
    "an absolute target without credentials": (
        request(b"GET", b"http://localhost/v2/catalog", b"Host: a", usual=False),
        401,
    ),
    "several slashes": (put(b"{}", target=b"//" + INSTANCE), 400),
    "another content type": (
        request(b"PUT", INSTANCE, b"Content-Type: text/xml", b"Content-Length: 2") + b"{}",
        400,
    ),
    "no content type": (request(b"PUT", INSTANCE, b"Content-Length: 2") + b"{}", 400),
    "an odd expectation": (put(b"{}", b"Expect: money"), 400),
    "no body": (request(b"PUT", INSTANCE), 400),
    "an announced body of 5 GB": (request(b"PUT", INSTANCE, b"Content-Length: 5000000000"), 413),
    "NaN": (with_parameters(b'{"a":NaN}'), 400),
    "a repeated member": (with_parameters(b'{"a":1,"a":2}'), 400),
    "half a character": (with_parameters(rb'{"a":"\ud800"}'), 400),
    "no UTF-8": (with_parameters(b'{"a":"\xff"}'), 400),
    "control characters": (with_parameters(b'{"a":"\x01"}'), 400),
    "depth": (with_parameters(b'{"a":' * 60 + b"1" + b"}" * 60), 400),
    "much depth": (put(b"[" * 200_000), 400),
    "many digits": (with_parameters(b'{"a":%s}' % (b"9" * 9_000)), 400),
}
