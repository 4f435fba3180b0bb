"""Connections leave room for what else needs open files. I9."""

from __future__ import annotations

import resource

import pytest

from alibroker.http.descriptors import most_connections

ENDLESS = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "raised", "most"),
    [
        ((1024, 1_048_576), 65_536, 4000),
        ((1024, ENDLESS), 65_536, 4000),
        ((1024, 4096), 4096, 3840),
        ((1024, 1024), None, 768),
        ((256, 256), None, 128),
        ((100_000, 100_000), None, 4000),
        ((ENDLESS, ENDLESS), None, 4000),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be_and_kept(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limits: tuple[int, int],
    raised: int | None,
    most: int,
) -> None:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: found.append(limits))
    assert most_connections(4000) == most
    assert found == ([] if raised is None else [(raised, limits[1])])
    assert bool(caplog.records) == (most < 4000)
