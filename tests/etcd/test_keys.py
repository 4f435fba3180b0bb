"""Keys carry any id, and nothing else passes for one."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alibroker.etcd.keys import (
    BINDINGS,
    INSTANCES,
    BindingKey,
    InstanceKey,
    binding_key,
    bindings_prefix,
    instance_key,
    parse,
)

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(instance=IDS, binding=IDS)
def test_ids_come_back_from_their_keys(instance: str, binding: str) -> None:
    assert parse(instance_key(instance)) == InstanceKey(instance)
    key = binding_key(instance, binding)
    assert parse(key) == BindingKey(instance, binding)
    assert key.startswith(bindings_prefix(instance))
    assert key.isascii()


@given(instance=IDS, other=IDS)
def test_the_bindings_of_one_instance_are_not_those_of_another(instance: str, other: str) -> None:
    assume(instance != other)
    assert not binding_key(other, "b").startswith(bindings_prefix(instance))


def test_keys_of_uuids_are_plain() -> None:
    assert instance_key("0b6d-1") == "/alibroker/v1/instances/0b6d-1"
    assert binding_key("0b6d-1", "a/ü") == "/alibroker/v1/bindings/0b6d-1/a%2F%C3%BC"


@pytest.mark.parametrize("identifier", ["", "\ud800"])
def test_what_cannot_be_an_id_is_refused(identifier: str) -> None:
    for build in (instance_key, bindings_prefix, lambda text: binding_key("i", text)):
        with pytest.raises(ValueError, match=r"empty|surrogates"):
            build(identifier)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/alibroker/v1/store",
        INSTANCES,
        INSTANCES + "a/b",
        INSTANCES + "%61",
        INSTANCES + "%FF",
        INSTANCES + "%c3%bc",
        INSTANCES + "ü",
        BINDINGS + "a",
        BINDINGS + "a/",
        BINDINGS + "/b",
        BINDINGS + "a/b/c",
    ],
)
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not the key"):
        parse(key)
