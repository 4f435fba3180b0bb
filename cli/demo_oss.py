"""The part of `alibroker demo` in which an application uses its bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import oss2
from rich.console import Console

_KEY: Final = "demo/hello.txt"
_CONTENT: Final = b"hello from an application"


def show_bucket(credentials: Mapping[str, Any], console: Console, *, bound: bool) -> None:
    """Put, get and delete an object with a binding's key; after the unbind, see it refused.

    Raises:
        click.ClickException: Something was refused that is allowed, or the other way round.
    """
    session = oss2.Session()
    session.session.trust_env = False  # no proxy in front of a local endpoint
    auth = oss2.AuthV4(credentials["access_key_id"], credentials["secret_access_key"])
    bucket = oss2.Bucket(
        auth,
        credentials["endpoint"],
        credentials["bucket"],
        region=credentials["region"],
        session=session,
    )
    try:
        if bound:
            _step(console, "put an object", lambda: bucket.put_object(_KEY, _CONTENT))
            content = _step(console, "get it", lambda: bucket.get_object(_KEY).read())
            if content != _CONTENT:
                raise click.ClickException("the object is not what was put")
            _step(console, "delete it", lambda: bucket.delete_object(_KEY))
        else:
            _refused(console, "put an object", lambda: bucket.put_object(_KEY, _CONTENT))
            _refused(console, "list the bucket", bucket.list_objects_v2)
    finally:
        session.session.close()


def _step(console: Console, title: str, call: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    try:
        result = call()
    except oss2.exceptions.OssError as error:
        raise click.ClickException(f"{title}: {error.code} {error.message}") from None
    _say(console, started, f"{title} with the binding's key")
    return result


def _refused(console: Console, title: str, call: Callable[[], Any]) -> None:
    started = time.perf_counter()
    try:
        call()
    except oss2.exceptions.ServerError as error:
        _say(console, started, f"{title} with the key of before: {error.status} {error.code}")
        return
    except oss2.exceptions.OssError as error:
        raise click.ClickException(f"{title}: {error.code} {error.message}") from None
    raise click.ClickException(f"{title}: the key still works after the unbind")


def _say(console: Console, started: float, text: str) -> None:
    spent = (time.perf_counter() - started) * 1000
    console.print(f"[green]ok[/] {spent:7.1f} ms  {text}", soft_wrap=True)
