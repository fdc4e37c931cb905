"""Settings take paths as people write them, and name a value that they cannot take."""

from pathlib import Path

import pytest

from caltech_lab.errors import ArgumentError
from caltech_lab.settings import from_home, settings


def test_a_tilde_is_a_home_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert from_home("~/photos") == tmp_path / "photos"
    assert from_home(Path("a/~")) == Path("a/~")
    assert from_home("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


@pytest.mark.parametrize("value", ["x", "-1", "1.5"])
@pytest.mark.parametrize("name", ["SEED", "THREADS", "PERTURB"])
def test_what_is_not_a_whole_number_is_named(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(f"CALTECH_LAB_{name}", value)
    settings.cache_clear()
    with pytest.raises(ArgumentError, match=f"^CALTECH_LAB_{name} must be an integer .*{value}"):
        settings()


def test_noise_is_chosen_by_a_seed_which_may_be_zero(environment: pytest.MonkeyPatch) -> None:
    assert settings().perturb is None
    for value, seed in (("", None), ("0", 0), ("3", 3)):
        environment.setenv("CALTECH_LAB_PERTURB", value)
        settings.cache_clear()
        assert settings().perturb == seed
