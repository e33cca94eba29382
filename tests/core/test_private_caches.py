"""Cache folders are ours alone: another user's are refused, links are never followed, nobody's mode is changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genloom.files.caches import cache_directory, folder_to_keep

pytestmark = pytest.mark.any_engine


@pytest.fixture(autouse=True)
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_a_folder_of_ours_is_made_private(chosen: Path) -> None:
    (chosen / "metrics").mkdir(parents=True)
    (chosen / "metrics").chmod(0o777)
    assert cache_directory("metrics").stat().st_mode & 0o777 == 0o700


def test_a_link_is_not_followed_and_its_target_keeps_its_mode(
    chosen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    target.chmod(0o755)
    chosen.mkdir()
    (chosen / "jax").symlink_to(target)
    with pytest.raises(PermissionError, match="it is a link"):
        cache_directory("jax")
    assert folder_to_keep("jax") is None and "it is a link" in capsys.readouterr().err
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("planted", ["kept/jax", "kept"])
def test_a_folder_of_another_user_is_refused_by_root_too(
    planted: str, chosen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (chosen / "jax").mkdir(parents=True)
    (chosen / "jax").chmod(0o777)
    if os.geteuid() == 0:
        os.chown(tmp_path / planted, 12_345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(PermissionError, match="it belongs to another user"):
        cache_directory("jax")
    assert (chosen / "jax").stat().st_mode & 0o777 == 0o777
