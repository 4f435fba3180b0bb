"""The parser that remembers lines comes to what gunicorn's comes to, whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from gunicorn.asgi.parser import ParseError, PythonProtocol
from hostile import OF_THE_BROKER, OF_THE_SERVER
from hypothesis import given, settings
from hypothesis import strategies as st

from alibroker.http import parsing
from alibroker.http.parsing import Parser

SENT = [data for data, _ in {**OF_THE_SERVER, **OF_THE_BROKER}.values()]
SENT += [b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * count + b"\r\n" for count in (4, 5, 6)]
SENT += [b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"a" * size) for size in (34, 35, 36)]
LIMITS = {"limit_request_line": 200, "limit_request_fields": 5, "limit_request_field_size": 40}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parser, "known", {})


def outcome(kind: type[PythonProtocol], pieces: Sequence[bytes], **limits: Any) -> list[Any]:
    """Return all that can be seen of parsing these pieces of requests, one after the other."""
    seen: list[Any] = []

    def on_headers_complete() -> bool:
        seen.append((parser.method, parser.path, parser.http_version, list(parser.headers)))
        seen.append((parser.content_length, parser.is_chunked, parser.should_keep_alive))
        return False

    parser = kind(
        on_headers_complete=on_headers_complete,
        on_body=seen.append,
        on_message_complete=lambda: seen.append("end"),
        **limits,
    )
    try:
        for piece in pieces:
            left = piece
            while left:
                parser.feed(left)
                left = b""
                if parser.is_complete:
                    left = parser.remaining()
                    parser.reset()
    except (ParseError, ValueError) as error:  # ValueError: a length of thousands of digits
        seen.append((type(error), str(error)))
    else:
        seen.append(bytes(parser._buffer))
    return seen


@pytest.mark.parametrize("limits", [{}, LIMITS], ids=["usual limits", "narrow limits"])
def test_hostile_requests_come_to_the_same(limits: dict[str, Any]) -> None:
    Parser.known.clear()
    # The second time all that can be known is.
    for data in [*SENT, *SENT]:
        for pieces in ([data], [data[:30], data[30:]], [data, data], [data + data]):
            assert outcome(Parser, pieces, **limits) == outcome(PythonProtocol, pieces, **limits)


PARTS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"PUT /a HTTP/1.0\r\n", b"Host: a\r\n", b"host:b\r\n", b"X-A: 1\r\n",
        b"X-A : 1\r\n", b" X: 1\r\n", b"X\r\n", b":\r\n", b"X:\t y \t\r\n", b"X: a\rb\r\n",
        b"X: a\nb\r\n", b"X: \0\r\n", b"Content-Length: 3\r\n", b"content-length:3\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
        b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\r\r\n",
        b"X-Long: " + b"a" * 40 + b"\r\n", b"\xff: \xff\r\n",
    ]
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(
    parts=st.lists(PARTS, max_size=14),
    cuts=st.lists(st.integers(1, 200), max_size=3),
    limits=st.sampled_from([{}, LIMITS]),
)
def test_any_pieces_of_requests_come_to_the_same(
    parts: list[bytes], cuts: list[int], limits: dict[str, Any]
) -> None:
    Parser.known.clear()
    data = b"GET / HTTP/1.1\r\n" + b"".join(parts)
    pieces = list(cut(data, sorted(cuts)))
    expected = outcome(PythonProtocol, pieces, **limits)
    for _ in range(2):
        assert outcome(Parser, pieces, **limits) == expected


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut at these places."""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:end]


def test_lines_are_known_again_and_those_that_are_refused_never() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n"
    outcome(Parser, [request, request])
    assert Parser.known == {b"Host: a": (b"host", b"a"), b"X-A: 1": (b"x-a", b"1")}
    for _ in range(2):
        refusal, _ = outcome(Parser, [request.replace(b"X-A", b"X A")])[-1]
        assert issubclass(refusal, ParseError)
    assert len(Parser.known) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_LINES", 50)
    for number in range(1000):
        outcome(Parser, [b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %d\r\n\r\n" % number])
        assert len(Parser.known) <= 50
    before = dict(Parser.known)
    outcome(Parser, [b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %s\r\n\r\n" % (b"a" * 600)])
    assert Parser.known == before | {b"Host: a": (b"host", b"a")}
