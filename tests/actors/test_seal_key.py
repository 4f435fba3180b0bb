"""Where the key comes from that secrets in the store are sealed with. I5."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from alibroker.actors.settings import EngineSettings, SettingsError

KEY = base64.b64encode(bytes(range(32))).decode()
OLDER = base64.b64encode(bytes(32)).decode()


def prints(text: str) -> str:
    return f"{sys.executable} -c \"print('{text}')\""


def test_environment_file_and_command_give_the_same_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n{OLDER}\n", encoding="ascii")
    sealed = EngineSettings(seal_key=KEY).sealer().seal(b"secret", "context")
    for settings in (
        EngineSettings(seal_key=f"{KEY},{OLDER}"),
        EngineSettings(seal_key_file=file),
        EngineSettings(seal_key_command=prints(f"{KEY},{OLDER}")),
    ):
        sealer = settings.sealer()
        assert sealer.open(sealed, "context") == b"secret"
        assert sealer.is_current(sealed)


@pytest.mark.parametrize(
    "command",
    [
        "/does/not/exist",
        f'{sys.executable} -c "raise SystemExit(3)"',
        prints("not-a-key"),
        prints(""),
        "'unfinished",
    ],
)
def test_a_command_that_gives_no_key_stops_the_start(command: str) -> None:
    with pytest.raises(SettingsError, match="ALIBROKER_SEAL_KEY_COMMAND") as caught:
        EngineSettings(seal_key_command=command).sealer()
    assert "not-a-key" not in str(caught.value)


@pytest.mark.parametrize("byte", [0, 255])
def test_a_key_that_anybody_would_guess_is_refused(byte: int) -> None:
    weak = base64.b64encode(bytes([byte] * 32)).decode()
    with pytest.raises(SettingsError, match="ALIBROKER_SEAL_KEY: the key is one byte"):
        EngineSettings(seal_key=weak).sealer()
    # To get away from it, it is put behind the new one.
    EngineSettings(seal_key=f"{KEY},{weak}").sealer()


def test_an_external_store_needs_a_key_that_outlives_the_machine(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ALIBROKER_SEAL_KEY_COMMAND"):
        EngineSettings(etcd_endpoints="127.0.0.1:1", data_dir=tmp_path).sealer()
    assert list(tmp_path.iterdir()) == []
