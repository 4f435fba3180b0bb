"""The files that hold objects' contents."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from crcmod.crcmod import mkCrcFun

from alibroker.sandbox.oss.documents import Segment

if TYPE_CHECKING:
    from pathlib import Path

    from alibroker.sandbox.cloud import Cloud

_CHUNK = 1024 * 1024
# CRC-64 of ECMA-182, as OSS announces it in x-oss-hash-crc64ecma.
_crc64 = mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)


def crc64(data: bytes, before: int = 0) -> int:
    """Return the CRC64 of what `before` stands for and `data` together."""
    return int(_crc64(data, before))


def crc64_of(cloud: Cloud, segments: tuple[Segment, ...], before: int = 0) -> int:
    """Return the CRC64 of what `before` stands for and the files together."""
    for segment in segments:
        for chunk in _chunks(cloud.files / segment.file):
            before = crc64(chunk, before)
    return before


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def share(cloud: Cloud, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Give the files second names, so that either may be removed."""
    shared = []
    for segment in segments:
        name = secrets.token_hex(16)
        os.link(cloud.files / segment.file, cloud.files / name)
        shared.append(Segment(name, segment.size))
    return tuple(shared)


def pieces(
    directory: Path, segments: tuple[Segment, ...], start: int, length: int
) -> tuple[tuple[Path, int, int], ...]:
    """Return path, offset and length of the parts of files that a range of the content is in."""
    found = []
    for segment in segments:
        offset = min(start, segment.size)
        taken = min(segment.size - offset, length)
        if taken:
            found.append((directory / segment.file, offset, taken))
        start -= offset
        length -= taken
    return tuple(found)


def sweep(cloud: Cloud) -> int:
    """Remove files that no object and no part names; return how many.

    A process that is killed between writing a file and the document that names it leaves one.
    """
    named = {
        segment.file
        for table in (cloud.objects, cloud.history)
        for found in table.values()
        for segment in found.segments
    }
    for upload in cloud.uploads.values():
        named |= {part.segment.file for part in upload.parts.values()}
    stray = [path for path in cloud.files.iterdir() if path.name not in named]
    for path in stray:
        path.unlink()
    return len(stray)
