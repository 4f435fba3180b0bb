"""An etcd that asks for user and password lets the broker in, and goes on doing so."""

from collections.abc import Callable, Iterator

import grpc
import psutil
import pytest
from etcd3 import etcdrpc as rpc
from etcd3.etcdrpc import auth_pb2

from alibroker.etcd.client import Committed, Entry, Etcd, Event, User
from alibroker.etcd.embedded import EmbeddedEtcd
from alibroker.etcd.errors import EtcdRejectedError

ALIBROKER = User("alibroker", "its password")


def end_of(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])


@pytest.fixture
def auth(fresh: EmbeddedEtcd) -> Iterator[rpc.AuthStub]:
    """An etcd as docs/etcd.md has it set up: the broker may use its own keys only."""
    with grpc.insecure_channel(fresh.endpoint) as channel:
        stub = rpc.AuthStub(channel)
        stub.UserAdd(rpc.AuthUserAddRequest(name="root", password="r"), timeout=10)
        stub.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"), timeout=10)
        user = rpc.AuthUserAddRequest(name=ALIBROKER.name, password=ALIBROKER.password)
        stub.UserAdd(user, timeout=10)
        stub.RoleAdd(rpc.AuthRoleAddRequest(name="alibroker"), timeout=10)
        own = auth_pb2.Permission(permType=2, key=b"/alibroker/", range_end=end_of(b"/alibroker/"))
        grant = rpc.AuthRoleGrantPermissionRequest(name="alibroker", perm=own)
        stub.RoleGrantPermission(grant, timeout=10)
        role = rpc.AuthUserGrantRoleRequest(user=ALIBROKER.name, role="alibroker")
        stub.UserGrantRole(role, timeout=10)
        yield stub


@pytest.fixture
def asking(auth: rpc.AuthStub) -> rpc.AuthStub:
    auth.AuthEnable(rpc.AuthEnableRequest(), timeout=10)
    return auth


def works(etcd: Etcd, number: int) -> bool:
    """Tell whether everything that the broker does can be done."""
    (outcome,) = etcd.commit([Entry(f"/alibroker/{number}", b"1", 0)], timeout=10)
    assert etcd.ping(timeout=10) > 0
    (found,) = etcd.read([f"/alibroker/{number}"], timeout=10)
    assert found is not None
    assert len(list(etcd.scan("/alibroker/"))) > number
    etcd.check_space(timeout=10)
    session = etcd.session(f"/alibroker/me/{number}", b"1", ttl=2, on_lost=pytest.fail)
    session.open(timeout=10)
    session._renew(10)
    session.close(timeout=10)
    return isinstance(outcome, Committed)


def test_a_user_with_a_password_is_let_in_also_after_etcd_has_forgotten(
    fresh: EmbeddedEtcd,
    asking: rpc.AuthStub,
    etcd_process: Callable[[int | None], psutil.Process],
    eventually: Callable[..., None],
) -> None:
    seen: list[Event] = []
    errors: list[Exception] = []
    with Etcd([fresh.endpoint], user=ALIBROKER) as etcd:
        watch = etcd.watch(
            "/alibroker/",
            start=1,
            on_events=lambda _, events: seen.extend(events),
            on_broken=errors.append,
        )
        watch.open()
        assert works(etcd, 0)

        # What is known of tokens is in memory only.
        etcd_process(fresh.keeper_pid).kill()
        assert works(etcd, 1)

        # A token from before a change of users is refused, in other words.
        root = asking.Authenticate(rpc.AuthenticateRequest(name="root", password="r"), timeout=10)
        asking.RoleAdd(
            rpc.AuthRoleAddRequest(name="other"), timeout=10, metadata=[("token", root.token)]
        )
        assert works(etcd, 2)

        eventually(lambda: watch.revision == etcd.ping(timeout=10))
        watch.close()
    assert [event.key for event in seen if event.value and "me" not in event.key] == [
        f"/alibroker/{number}" for number in range(3)
    ]
    assert errors == []


@pytest.mark.usefixtures("asking")
def test_a_watch_of_what_the_user_may_not_read_ends_with_the_refusal(
    fresh: EmbeddedEtcd, eventually: Callable[..., None]
) -> None:
    errors: list[Exception] = []
    with Etcd([fresh.endpoint], user=ALIBROKER) as etcd:
        watch = etcd.watch("/", start=1, on_events=pytest.fail, on_broken=errors.append)
        watch.open()
        eventually(lambda: bool(errors))
        watch.close()
    assert isinstance(errors[0], EtcdRejectedError)
    assert "permission denied" in str(errors[0])


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize("user", [None, User("alibroker", "another"), User("nobody", "x")])
def test_others_are_refused_without_a_word_of_the_password(
    fresh: EmbeddedEtcd, user: User | None
) -> None:
    with Etcd([fresh.endpoint], user=user) as etcd, pytest.raises(EtcdRejectedError) as refused:
        etcd.ping(timeout=5)
    assert "another" not in str(refused.value)
    assert "another" not in repr(user)


@pytest.mark.usefixtures("auth")
def test_a_user_is_no_obstacle_where_etcd_does_not_ask(
    fresh: EmbeddedEtcd, caplog: pytest.LogCaptureFixture
) -> None:
    with Etcd([fresh.endpoint], user=ALIBROKER) as etcd:
        assert works(etcd, 0)
    assert caplog.text.count("etcd does not ask") == 1


def test_a_user_is_asked_for_once_etcd_begins_to_ask(
    fresh: EmbeddedEtcd, auth: rpc.AuthStub
) -> None:
    with Etcd([fresh.endpoint], user=ALIBROKER) as etcd:
        assert works(etcd, 0)
        auth.AuthEnable(rpc.AuthEnableRequest(), timeout=10)
        assert works(etcd, 1)
