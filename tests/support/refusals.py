"""What OSS says to a call that must fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oss2.exceptions import ServerError


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str]:
    """Return the status and the error code of a call of oss2."""
    with pytest.raises(ServerError) as caught:
        call(*arguments, **named)
    return caught.value.status, caught.value.code
