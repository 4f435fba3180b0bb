"""The floor: Falcon under the same worker, with a constant answer."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi


class Constant:
    """Answers the same, whatever is asked."""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer."""
        resp.data = b'{"state":"succeeded"}'
        resp.content_type = falcon.MEDIA_JSON


def get_app() -> falcon.asgi.App[Any, Any]:
    """Return the application."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/constant", Constant())
    return app
