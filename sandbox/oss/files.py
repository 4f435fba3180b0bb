"""The files that hold objects' contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alibroker.sandbox.cloud import Cloud


def sweep(cloud: Cloud) -> int:
    """Remove files that no object and no part names; return how many.

    A process that is killed between writing a file and the document that names it leaves one.
    """
    named = {segment.file for found in cloud.objects.values() for segment in found.segments}
    for upload in cloud.uploads.values():
        named |= {part.segment.file for part in upload.parts.values()}
    stray = [path for path in cloud.files.iterdir() if path.name not in named]
    for path in stray:
        path.unlink()
    return len(stray)
