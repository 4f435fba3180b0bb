"""The demo's application: it uses its bucket, and is refused once its binding is gone."""

from __future__ import annotations

import io

import click
import pytest
from rich.console import Console
from world import OSS, World, new_id

from alibroker.cli.demo_oss import show_bucket


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_the_demo_shows_an_object_and_then_a_refusal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    console = Console(file=io.StringIO(), width=200)
    instance = new_id()
    world.do("provision", OSS, instance)
    world.do("bind", OSS, instance)
    credentials = world.credentials(instance)
    show_bucket(credentials, console, bound=True)
    world.do("unbind", OSS, instance)
    show_bucket(credentials, console, bound=False)
    with pytest.raises(click.ClickException, match="InvalidAccessKeyId"):
        show_bucket(credentials, console, bound=True)
    assert "403 InvalidAccessKeyId" in console.file.getvalue()  # type: ignore[attr-defined]
    world.do("deprovision", OSS, instance)
    assert world.left() == {}
