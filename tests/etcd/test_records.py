"""Records come back as they were, show nothing private, and say so when they cannot be read."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alibroker.etcd import records
from alibroker.etcd.records import UnknownSchemaError, UnreadableRecordError
from alibroker.etcd.sealing import Sealer

SEALER = Sealer({"k1": bytes(32)}, "k1")
KEY = "/alibroker/v1/instances/1"


class Secrets(msgspec.Struct, frozen=True):
    password: str
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class Thing(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    raw: msgspec.Raw = msgspec.Raw(b"null")
    sizes: dict[int, float] = {}
    private: Secrets | None = None
    # Version 1 had no `name` but a `title`.
    schema: int = 2


class Versioned(msgspec.Struct, frozen=True):
    """As Thing, but its version is always written."""

    name: str
    private: Secrets | None = None
    schema: int = 2


def from_title(document: dict[str, Any]) -> dict[str, Any]:
    return {"name": document.pop("title"), **document}


@given(name=st.text(), password=st.none() | st.text())
def test_a_record_comes_back_as_it_was(name: str, password: str | None) -> None:
    private = None if password is None else Secrets(password, msgspec.Raw(b'{"a": [1]}'))
    record = Versioned(name, private)
    assert records.decode(Versioned, records.encode(record, SEALER, KEY), SEALER, KEY) == record


def test_the_version_is_written_even_where_defaults_are_omitted() -> None:
    record = Thing("n", msgspec.Raw(b'{"b":1}'), {7: 0.5}, Secrets("hunter2"))
    value = records.encode(record, SEALER, KEY)
    assert msgspec.json.decode(value)["schema"] == 2
    assert records.decode(Thing, value, SEALER, KEY) == record
    plain = records.encode(Thing("n"), SEALER, KEY)
    assert records.decode(Thing, plain, SEALER, KEY) == Thing("n")


def test_a_person_can_read_all_but_the_private_part() -> None:
    value = records.encode(Versioned("orders", Secrets("hunter2")), SEALER, KEY)
    document = msgspec.json.decode(value)
    assert document["name"] == "orders"
    assert document["private"].startswith("k1.")
    assert b"hunter2" not in value
    assert b"password" not in value


def test_a_record_does_not_open_under_another_key() -> None:
    value = records.encode(Versioned("n", Secrets("hunter2")), SEALER, KEY)
    with pytest.raises(UnreadableRecordError, match="changed or moved"):
        records.decode(Versioned, value, SEALER, KEY + "2")


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(UnknownSchemaError, match=r"version 3.*reads version 2"):
        records.decode(Versioned, b'{"schema":3,"future":true}', SEALER, KEY)


def test_an_older_version_needs_a_migration_for_every_step() -> None:
    private = SEALER.seal(b'{"password":"hunter2"}', KEY)
    value = msgspec.json.encode({"schema": 1, "title": "n", "private": private})
    with pytest.raises(UnknownSchemaError):
        records.decode(Versioned, value, SEALER, KEY)
    with pytest.raises(UnknownSchemaError):
        records.decode(Versioned, b'{"schema":0}', SEALER, KEY, migrations={1: from_title})
    migrated = records.decode(Versioned, value, SEALER, KEY, migrations={1: from_title})
    assert migrated == Versioned("n", Secrets("hunter2"))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"schema":"2"}',
        b'{"schema":2}',
        b'{"schema":2,"name":7}',
        b'{"schema":2,"name":"n","private":{"password":"hunter2"}}',
        b'{"schema":2,"name":"n","private":"k1.AAAA"}',
        b'{"schema":2,"name":"n","private":7}',
    ],
)
def test_what_is_not_a_record_is_unreadable(value: bytes) -> None:
    with pytest.raises(UnreadableRecordError, match=KEY) as told:
        records.decode(Versioned, value, SEALER, KEY)
    assert not isinstance(told.value, UnknownSchemaError)
    assert "hunter2" not in str(told.value)


def test_a_migration_that_fails_makes_the_record_unreadable() -> None:
    with pytest.raises(UnreadableRecordError):
        records.decode(Versioned, b'{"schema":1}', SEALER, KEY, migrations={1: from_title})


def test_a_private_part_of_the_wrong_form_does_not_show_in_the_error() -> None:
    sealed = SEALER.seal(b'{"hunter2":"hunter2"}', KEY)
    value = msgspec.json.encode({"schema": 2, "name": "n", "private": sealed})
    with pytest.raises(UnreadableRecordError) as told:
        records.decode(Versioned, value, SEALER, KEY)
    assert "hunter2" not in str(told.value)
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__


def test_a_type_without_a_version_is_a_mistake() -> None:
    class Bare(msgspec.Struct):
        name: str

    with pytest.raises(TypeError, match="schema"):
        records.decode(Bare, b'{"schema":1,"name":"n"}', SEALER, KEY)
