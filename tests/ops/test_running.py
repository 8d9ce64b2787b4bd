"""One `up` a data directory, and other commands find it."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli import explained
from ops.commands.up import how_to_find
from ops.running import AlreadyRunningError, Claim, DirectoryUnusable, find_running, settings_here
from ops.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of this test alone."""
    for name in ("CASHBACK_BROKERS", "CASHBACK_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


SERVED = Settings(brokers="127.0.0.1:1234", database_url="postgresql://c:pw@127.0.0.1:5/c", clock="event")


def test_a_second_claim_names_the_process_that_has_the_first(tmp_path: Path) -> None:
    claim = Claim(tmp_path)
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
        Claim(tmp_path)
    claim.release()
    Claim(tmp_path).release()


def test_commands_find_the_running_servers(tmp_path: Path) -> None:
    claim = Claim(tmp_path)
    assert find_running(tmp_path) is None
    claim.publish(SERVED)
    found = settings_here(data=tmp_path)
    claim.release()

    assert (found.brokers, found.database_url, found.clock) == (SERVED.brokers, SERVED.database_url, "event")
    assert settings_here(data=tmp_path).brokers == "127.0.0.1:9092"


def test_options_win_over_variables_and_variables_over_the_running_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASHBACK_BROKERS", "from-variable:9092")
    get_settings.cache_clear()
    claim = Claim(tmp_path)
    claim.publish(SERVED)

    assert settings_here(data=tmp_path).brokers == "from-variable:9092"
    assert settings_here(data=tmp_path, brokers="from-option:9092").brokers == "from-option:9092"
    assert settings_here(data=tmp_path).database_url == SERVED.database_url
    claim.release()


def test_what_is_published_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    claim = Claim(tmp_path)
    claim.publish(SERVED)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("running.json", "env")]
    claim.release()

    assert modes == [0o600, 0o600]
    assert not (tmp_path / "env").exists()


def test_a_shell_takes_every_setting_from_env_whatever_is_in_it(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    claim = Claim(data)
    claim.publish(
        SERVED.model_copy(update={"brokers": "a:1,b:2", "database_url": "postgresql://c:it's@h/c d"})
    )
    script = '. "$0" && printenv CASHBACK_BROKERS CASHBACK_DATABASE_URL CASHBACK_CLOCK'
    said = subprocess.run(["sh", "-c", script, data / "env"], capture_output=True, text=True, check=True)
    claim.release()

    assert said.stdout.splitlines() == ["a:1,b:2", "postgresql://c:it's@h/c d", "event"]


def test_the_way_to_other_data_is_told_for_a_shell(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    assert f". '{data}/env'" in how_to_find(data, default=tmp_path)
    assert "by themselves" not in how_to_find(data, default=tmp_path)
    assert "by themselves" in how_to_find(data, default=data)


@pytest.mark.parametrize("below", ["", "more"])
def test_a_place_that_cannot_hold_data_is_named_with_the_remedy(tmp_path: Path, below: str) -> None:
    data = tmp_path / "a-file" / below
    (tmp_path / "a-file").touch()
    with pytest.raises(DirectoryUnusable, match=f"^{data}: .*--data") as raised:
        Claim(data)
    assert explained(raised.value) == str(raised.value)
