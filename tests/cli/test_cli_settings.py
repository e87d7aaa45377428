"""Where the command line finds its API: options, the environment, a running local cloud."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offpeak.cli.errors import UsageError
from offpeak.cli.settings import Settings, read_settings

LOCAL = {"base_url": "http://127.0.0.1:8080", "api_key": "sk-offpeak-local"}


@pytest.fixture
def local_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `make up` runs."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".offpeak" / "local.json"
    file.parent.mkdir()
    file.write_text(json.dumps(LOCAL))
    return file


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    "url", ["https://x.example/prod", "https://x.example/prod/v1/", " https://x.example/prod/v1 "]
)
def test_an_address_is_taken_with_or_without_v1(url: str) -> None:
    assert read_settings(url, "sk-1") == Settings("https://x.example/prod", "sk-1")


@pytest.mark.usefixtures("local_cloud")
def test_a_running_local_cloud_is_found() -> None:
    assert read_settings(None, None) == Settings("http://127.0.0.1:8080", "sk-offpeak-local")


@pytest.mark.usefixtures("local_cloud")
def test_what_is_given_wins_over_the_local_cloud() -> None:
    assert read_settings("https://x.example", "sk-1") == Settings("https://x.example", "sk-1")
    assert read_settings(None, "sk-1") == Settings("http://127.0.0.1:8080", "sk-1")


@pytest.mark.usefixtures("local_cloud")
def test_the_local_key_is_never_sent_to_another_host() -> None:
    with pytest.raises(UsageError, match=r"No API key is set for https://x\.example"):
        read_settings("https://x.example", None)


@pytest.mark.usefixtures("nowhere")
def test_without_an_address_it_says_how_to_give_one() -> None:
    with pytest.raises(UsageError, match=r"Give --base-url.*OFFPEAK_BASE_URL.*make up"):
        read_settings(None, "sk-1")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("url", ["x.example", "ftp://x.example", "https://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no http"):
        read_settings(url, "sk-1")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("key", ["sk 1", "sk-1\n", "“sk-1”"])
def test_a_key_that_was_pasted_wrongly_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(UsageError, match="characters that no key has"):
        read_settings("https://x.example", key)


def test_a_damaged_local_file_is_named(local_cloud: Path) -> None:
    local_cloud.write_text("{")
    with pytest.raises(UsageError, match=r"local\.json can't be read"):
        read_settings(None, None)
