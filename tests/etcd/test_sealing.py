"""What is sealed opens with its key, in its place, unchanged; and in no other case."""

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alibroker.etcd.sealing import Sealer, SealError, create_key_file, load_key

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SEALER = Sealer({"old": OLD, "new": NEW}, "new")


@given(plaintext=st.binary(max_size=2000), context=st.text())
def test_what_is_sealed_opens_unchanged(plaintext: bytes, context: str) -> None:
    context = context.encode("utf-8", "replace").decode()
    sealed = SEALER.seal(plaintext, context)
    assert SEALER.open(sealed, context) == plaintext
    assert sealed.isascii()
    assert sealed != SEALER.seal(plaintext, context)


@given(place=st.integers(min_value=0, max_value=200), flip=st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed_anywhere(place: int, flip: int) -> None:
    key_id, _, text = SEALER.seal(b"x" * 100, "/k").partition(".")
    raw = bytearray(base64.urlsafe_b64decode(text))
    raw[place % len(raw)] ^= flip
    with pytest.raises(SealError, match="changed or moved"):
        SEALER.open(f"{key_id}.{base64.urlsafe_b64encode(raw).decode()}", "/k")


@given(text=st.text(max_size=60))
def test_rubbish_is_refused(text: str) -> None:
    for sealed in (text, f"new.{text}"):
        with pytest.raises(SealError):
            SEALER.open(sealed, "/k")


def test_a_moved_value_is_refused() -> None:
    sealed = SEALER.seal(b"secret", "/instances/1")
    with pytest.raises(SealError, match="/instances/2"):
        SEALER.open(sealed, "/instances/2")


def test_a_value_under_another_key_id_is_refused() -> None:
    twice = Sealer({"a": OLD, "b": OLD}, "a")
    sealed = twice.seal(b"secret", "/k")
    with pytest.raises(SealError):
        twice.open(sealed.replace("a.", "b.", 1), "/k")


def test_a_wrong_key_and_an_unknown_one_are_told_apart() -> None:
    sealed = SEALER.seal(b"secret", "/k")
    with pytest.raises(SealError, match="not the one"):
        Sealer({"new": OLD}, "new").open(sealed, "/k")
    with pytest.raises(SealError, match="was not given"):
        Sealer({"old": OLD}, "old").open(sealed, "/k")


def test_old_texts_open_after_a_rotation() -> None:
    sealed = Sealer({"old": OLD}, "old").seal(b"secret", "/k")
    assert SEALER.open(sealed, "/k") == b"secret"
    assert SEALER.seal(b"", "/k").startswith("new.")


@pytest.mark.parametrize(
    ("keys", "current"),
    [({"a": OLD[:31]}, "a"), ({"a": OLD}, "b"), ({"a.b": OLD}, "a.b"), ({"": OLD}, ""), ({}, "a")],
)
def test_unfit_keys_are_refused(keys: dict[str, bytes], current: str) -> None:
    with pytest.raises(SealError):
        Sealer(keys, current)


def test_keys_are_never_shown() -> None:
    shown = f"{SEALER!r} {SEALER} {vars(SEALER)}"
    assert "new" in shown
    for form in (repr(NEW)[2:-1], NEW.hex(), base64.b64encode(NEW).decode()):
        assert form not in shown


def test_a_key_is_read_from_text_or_file(tmp_path: Path) -> None:
    key = bytes([251] * 32)
    standard, url_safe = base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()
    assert standard != url_safe
    path = tmp_path / "key"
    path.write_text(f"{standard}\n")
    assert load_key(standard) == load_key(f" {url_safe}\n") == load_key(path) == key


@pytest.mark.parametrize("text", ["", "hunter2", base64.b64encode(OLD[:16]).decode(), "ä" * 44])
def test_a_text_that_is_no_key_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    for value in (text, path):
        with pytest.raises(SealError) as told:
            load_key(value)
        assert not text or text not in str(told.value)
        assert told.value.__cause__ is None


def test_a_missing_key_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="No such file"):
        load_key(tmp_path / "none")


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path) == key
    with pytest.raises(FileExistsError):
        create_key_file(path)
    assert load_key(path) == key
