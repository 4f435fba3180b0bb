"""What a deployment must not start with, and what it is warned of. I5."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from alibroker.actors.settings import EngineSettings, SettingsError
from alibroker.http import precautions
from alibroker.http.settings import EdgeSettings

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = [("127.0.0.1", 8005)]
ANYWHERE = [*LOOPBACK, ("::", 8005, 0, 0)]
SHORT, LONG = "7 chars", "8 chars."


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        (("127.0.0.1", 80), True),
        (("127.8.9.10", 80), True),
        (("localhost", 80), True),
        (("::1", 80, 0, 0), True),
        (("::ffff:127.0.0.1", 80, 0, 0), True),
        ("/run/alibroker.sock", True),
        (("0.0.0.0", 80), False),  # noqa: S104 - nobody listens there
        (("::", 80, 0, 0), False),
        (("", 80), False),
        (("10.1.2.3", 80), False),
        (("fe80::1%lo", 80, 0, 1), False),
        (("name.invalid", 80), False),
    ],
)
def test_which_addresses_nobody_else_reaches(address: Any, *, ours: bool) -> None:
    assert precautions.is_of_this_machine(address) == ours


def test_a_socket_that_was_given_says_itself_where_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        configured = [given.fileno(), ("10.0.0.1", 80)]
        assert precautions.listening_at(configured) == [given.getsockname(), ("10.0.0.1", 80)]


def users_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "users"
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def test_short_passwords_are_for_loopback_only(tmp_path: Path) -> None:
    one = EdgeSettings(username="u", password=SHORT)
    operator = EdgeSettings(
        username="u", password=LONG, operator_username="o", operator_password=SHORT
    )
    in_file = EdgeSettings(users_file=users_file(tmp_path, f"a:{LONG}\nb:{SHORT}\n"))
    for settings, named in (
        (one, "ALIBROKER_PASSWORD"),
        (operator, "ALIBROKER_OPERATOR_PASSWORD"),
        (in_file, "ALIBROKER_USERS_FILE, line 2"),
    ):
        precautions.check(settings, EngineSettings(), LOOPBACK)
        with pytest.raises(SettingsError, match=f"{named} .*8 characters.*ALIBROKER_BIND") as ex:
            precautions.check(settings, EngineSettings(), ANYWHERE)
        assert SHORT not in str(ex.value)
    precautions.check(EdgeSettings(username="u", password=LONG), EngineSettings(), ANYWHERE)


@pytest.mark.parametrize(
    ("secret", "slip"),
    [
        ("secret-1\n", "white space"),
        (" secret-1", "white space"),
        ("secret\t1", "control character"),
        ("secret\x001", "control character"),
        ("secret\udcff1", "UTF-8"),
    ],
)
def test_a_slip_in_a_secret_is_refused_by_name(secret: str, slip: str) -> None:
    platform = EdgeSettings(username="u", password=secret)
    operator = EdgeSettings(operator_username="o", operator_password=secret)
    etcd = EngineSettings(
        etcd_endpoints="http://127.0.0.1:1", etcd_username="u", etcd_password=secret
    )
    for read, named in (
        (platform.users, "ALIBROKER_PASSWORD"),
        (operator.operators, "ALIBROKER_OPERATOR_PASSWORD"),
        (etcd.store, "ALIBROKER_ETCD_PASSWORD"),
    ):
        with pytest.raises(SettingsError, match=f"{named} .*{slip}") as ex:
            read()  # type: ignore[operator]
        assert "secret" not in str(ex.value)


def test_a_name_with_a_colon_is_refused() -> None:
    """It would be another name, with another password: nobody could come in with it."""
    with pytest.raises(SettingsError, match="ALIBROKER_USERNAME has a colon"):
        EdgeSettings(username="a:b", password=LONG).users()


def test_a_users_file_is_read_as_editors_write_it(tmp_path: Path) -> None:
    path = users_file(tmp_path, "\ufeffone:pass:word 1\r\n\r\ntwo:pässword\r\n")
    assert EdgeSettings(users_file=path).users() == {"one": "pass:word 1", "two": "pässword"}
    for text in ("one:secret-1 \n", "one: secret-1", "one\n", ":secret-1\n", "a\x0bb:secret-1"):
        with pytest.raises(SettingsError, match="ALIBROKER_USERS_FILE, line 1") as ex:
            EdgeSettings(users_file=users_file(tmp_path, text)).users()
        assert "secret" not in str(ex.value)


def test_files_with_secrets_are_for_nobody_else(tmp_path: Path) -> None:
    engine = EngineSettings(data_dir=tmp_path)
    engine.sealer()
    users = users_file(tmp_path, f"a:{LONG}")
    edge = EdgeSettings(users_file=users)
    assert list(precautions.warnings(edge, engine, {})) == []

    users.chmod(0o604)
    engine.kept_key.chmod(0o644)
    of_users, of_key = precautions.warnings(edge, engine, {})
    assert "ALIBROKER_USERS_FILE: everybody on this machine can read" in of_users
    assert "ALIBROKER_SEAL_KEY_FILE: everybody on this machine can read" in of_key
    precautions.check(edge, engine, LOOPBACK)

    users.chmod(0o602)
    with pytest.raises(SettingsError, match=r"ALIBROKER_USERS_FILE: everybody .* can change"):
        precautions.check(edge, engine, LOOPBACK)


@pytest.mark.parametrize(
    ("endpoint", "warned"),
    [
        ("http://10.0.0.7:2379", True),
        ("http://etcd.invalid:2379", True),
        ("http://127.0.0.1:2379", False),
        ("http://[::1]:2379", False),
        ("https://10.0.0.7:2379", False),
        ("unix:/run/etcd", False),
    ],
)
def test_an_etcd_elsewhere_without_tls_is_warned_of(endpoint: str, *, warned: bool) -> None:
    engine = EngineSettings(etcd_endpoints=endpoint)
    found = list(precautions.warnings(EdgeSettings(), engine, {}))
    assert [text for text in found if "ALIBROKER_ETCD_ENDPOINTS" in text] == found
    assert bool(found) == warned


@pytest.mark.parametrize(
    ("name", "value", "warned"),
    [
        ("ALIBROKER_PASWORD", "secret", "is ALIBROKER_PASSWORD meant"),
        ("ALIBROKER_ETCD_ENDPOINT", "secret", "is ALIBROKER_ETCD_ENDPOINTS meant"),
        ("ALIBROKER_PORT", "8005", "no setting"),
        ("ALIBROKER_QQQQQQQQ", "secret", "has no effect"),
        ("ALIBROKER_PASSWORD", "secret", ""),
        ("ALIBROKER_URL", "secret", ""),
        ("ALIBROKER_PORT", "tcp://10.0.0.1:80", ""),
        ("ALIBROKER_SERVICE_PORT_HTTP", "80", ""),
        ("ALIBROKER_ETCD_PORT_2379_TCP_ADDR", "10.0.0.1", ""),
        ("ALIBROKER_VAULT_ADDRESS", "of a plugin called vault", ""),
        ("OTHER", "secret", ""),
    ],
)
def test_a_variable_that_nobody_reads_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, warned: str
) -> None:
    monkeypatch.setattr(precautions, "foreign_plugins", lambda: ["vault"])
    found = list(precautions.warnings(EdgeSettings(), EngineSettings(), {name: value}))
    assert len(found) == bool(warned)
    assert all(name in text and warned in text and "secret" not in text for text in found)


def test_all_variables_that_are_read_are_known() -> None:
    read: set[str] = set()
    for folder in ("actors", "brokers", "cli", "conformance", "etcd", "http"):
        for path in (ROOT / folder).rglob("*.py"):
            read.update(re.findall(r"\"(ALIBROKER_[A-Z_]*[A-Z])\"", path.read_text("utf-8")))
    assert read <= precautions.known_variables()
    readme = set(re.findall(r"`(ALIBROKER_\w+)`", (ROOT / "README.md").read_text("utf-8")))
    assert readme <= precautions.known_variables()
