"""Who the client is to an etcd that asks for user and password: a token, renewed when it is over.

etcd forgets tokens (when it is restarted, or after five minutes without a use), and refuses those
that are older than a change of its users and roles.
"""

import logging
import threading
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from etcd3.etcdrpc import AuthenticateRequest

_log = logging.getLogger(__name__)

_OVER: Final = ("invalid auth token", "revision of auth store is old", "user name is empty")
_NOT_ASKED: Final = "authentication is not enabled"


@dataclass(frozen=True, slots=True)
class User:
    """A user of etcd, as `etcdctl user add` makes them."""

    name: str
    password: str = field(repr=False)


class Login:
    """The token of a user, or of nobody. For any number of threads."""

    def __init__(self, user: User | None) -> None:
        self._user = user
        self._lock = threading.Lock()
        self._token: tuple[tuple[str, str], ...] | None = None if user else ()

    def token(self, auth: Any, timeout: float) -> tuple[tuple[str, str], ...]:
        """Return what a call has to carry; ask for it through the stub `auth` if need be.

        Raises:
            grpc.RpcError: etcd does not answer within `timeout` (seconds), or refuses the user.
        """
        token = self._token
        if token is not None:
            return token
        with self._lock:
            if self._token is None:
                self._token = self._ask(auth, timeout)
            return self._token

    def is_over(self, error: grpc.RpcError) -> bool:
        """Tell whether a call was refused for its token alone; the next one gets another."""
        if self._user is None or not any(text in (error.details() or "") for text in _OVER):
            return False
        self._token = None
        return True

    def _ask(self, auth: Any, timeout: float) -> tuple[tuple[str, str], ...]:
        assert self._user is not None  # noqa: S101 - for the type checker
        request = AuthenticateRequest(name=self._user.name, password=self._user.password)
        try:
            return (("token", auth.Authenticate(request, timeout=timeout).token),)
        except grpc.RpcError as error:
            if _NOT_ASKED not in (error.details() or ""):
                raise
            _log.warning("etcd does not ask who its clients are, although a user is configured")
            return ()
