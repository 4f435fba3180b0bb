"""What is known to differ from the vendor's models, each with the reason why it may."""

from __future__ import annotations

KNOWN: dict[str, str] = {}
"""The witness's own words, and a reason."""
