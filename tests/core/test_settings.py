"""The environment is read in one place."""

from __future__ import annotations

from pathlib import Path

from vidsearch.settings import HUB_ENDPOINT, Settings, read_settings


def test_read_settings_has_defaults():
    settings = read_settings({})
    assert settings == Settings(models=settings.models)
    assert settings.models.parts[-2:] == ("vidsearch", "models")
    assert settings.hub_endpoint == HUB_ENDPOINT


def test_read_settings_takes_what_is_set():
    environ = {"VIDSEARCH_MODELS": "~/m", "VIDSEARCH_INDEX": "i", "HF_ENDPOINT": "https://mirror.example/", "HF_HUB_OFFLINE": "1"}
    assert read_settings(environ) == Settings(Path.home() / "m", Path("i"), "https://mirror.example", hub_offline=True)


def test_an_empty_variable_counts_as_unset():
    assert read_settings({"VIDSEARCH_MODELS": "", "VIDSEARCH_INDEX": "", "HF_ENDPOINT": "", "HF_HUB_OFFLINE": "0"}) == read_settings({})
