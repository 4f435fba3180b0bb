"""gunicorn's parser of requests, with a memory for header lines (as of gunicorn 27.0)."""

from __future__ import annotations

from typing import ClassVar, Final

from gunicorn.asgi.parser import PythonProtocol

MAX_LINES: Final = 512
MAX_LINE: Final = 512
"""How many lines are remembered, and how long one of them may be, in bytes."""

_END: Final = b"\r\n\r\n"

Header = tuple[bytes, bytes]


class Parser(PythonProtocol):  # type: ignore[misc] # gunicorn publishes no types
    """Parses as gunicorn does, but a header line that it has seen before it knows.

    A platform sends the same lines with each request, and to look through them again takes longer
    than all the rest of an answer. What is remembered of a line is what gunicorn has made of it:
    one that it refuses is never known, and what lines mean together is looked at each time.
    """

    known: ClassVar[dict[bytes, Header]] = {}
    """Of all connections of this process, which have the same limits."""

    _header_count: int
    _headers_list: list[Header]

    def _parse_headers(self) -> bool:
        """Parse the lines after the request line; returns whether they are all here."""
        buffer: bytearray = self._buffer
        end = buffer.find(_END)
        if end <= 0 or self._header_count or self._scan_from or buffer.startswith(b"\r\n"):
            # It comes in pieces, or there are no lines.
            return bool(super()._parse_headers())
        lines = bytes(buffer[:end]).split(b"\r\n")
        if self._on_header or 0 < self._limit_request_fields < len(lines):
            return bool(super()._parse_headers())
        known = self.known
        self._headers_list = [known.get(line) or self._learn(line) for line in lines]
        self._header_count = len(lines)
        del buffer[: end + len(_END)]
        self._finalize_headers()
        return True

    def _learn(self, line: bytes) -> Header:
        """Return name and value, and remember them."""
        # The same limits, and nobody to call back.
        scratch = PythonProtocol(
            limit_request_fields=self._limit_request_fields,
            limit_request_field_size=self._limit_request_field_size,
        )
        scratch._buffer += line + b"\r\n"  # noqa: SLF001 - gunicorn has no public name for it
        scratch._parse_headers()  # noqa: SLF001 - the same
        (header,) = scratch._headers_list  # noqa: SLF001 - the same
        if len(line) <= MAX_LINE:
            if len(self.known) >= MAX_LINES:
                self.known.clear()
            self.known[line] = header
        found: Header = header
        return found
