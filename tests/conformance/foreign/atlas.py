"""The PyPI package atlasbroker 2.0.0 over a MongoDB and a cloud in memory; see docs/conformance.md.

It imports nothing of ours: the environment has to have what docs/conformance.md says.
"""

from __future__ import annotations

import collections
import collections.abc
import os
from typing import Any

import mongomock
import pymongo

collections.Iterable = collections.abc.Iterable  # Python before 3.10 had it there
pymongo.MongoClient = lambda uri, *_: mongomock.MongoClient(uri)

from atlasbroker import backend  # noqa: E402 - it takes the client when it is imported
from atlasbroker.broker import Broker  # noqa: E402
from atlasbroker.config import Config  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402


class Cloud:
    """What the broker asks of the cloud that it stands in front of."""

    def __init__(self, *_: Any) -> None:
        self.Clusters = self.DatabaseUsers = self  # names of the cloud's client

    def is_existing_cluster(self, name: str) -> bool:
        return name == "shelf"

    def create_a_database_user(self, _user: Any) -> None:
        pass

    def delete_a_database_user(self, _name: str) -> None:
        pass


backend.Atlas = Cloud
config = Config(
    {"user": "", "password": "", "group": ""},
    {"uri": "mongodb://localhost", "timeoutms": 1, "db": "broker", "collection": "all"},
    {"shelf": "mongodb://%s:%s@shelf.test/%s"},
)
server = make_server("127.0.0.1", int(os.environ.get("PORT", "0")), Broker(config).app)
print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - whoever started it wants it
server.serve_forever()
