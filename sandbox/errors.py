"""The one exception of the simulated APIs: an answer that says no."""

from __future__ import annotations


class ApiError(Exception):
    """An error answer of an API, rendered as JSON (RPC) or XML (OSS) by the protocol layer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after_ms: int | None = None,
        ec: str = "",
        details: dict[str, str] | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        """Describe the answer.

        Args:
            status: HTTP status.
            code: Error code of the API, what clients match on.
            message: Text for people.
            retry_after_ms: Wait in milliseconds that a throttled answer asks for.
            ec: Fine-grained OSS error number (header x-oss-ec).
            details: More elements for the OSS error document.
            headers: More headers for the OSS answer.
        """
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.ec = ec
        self.details = details or {}
        self.headers = headers or []


def missing(name: str) -> ApiError:
    """Build the error for a mandatory parameter that was not sent."""
    return ApiError(
        400,
        "MissingParameter",
        f'The input parameter "{name}" that is mandatory for processing this request '
        "is not supplied.",
    )


def invalid(name: str, why: str = "is not valid") -> ApiError:
    """Build the general error for a parameter with a bad value."""
    return ApiError(400, "InvalidParameter", f'The specified parameter "{name}" {why}.')
