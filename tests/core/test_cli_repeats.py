"""A flag that takes one value is refused twice; one that takes several, or none, may be repeated."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from genloom.cli.main import cli

pytestmark = pytest.mark.any_engine


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["sample", "run", "--label", "1", "--label", "2"], "--label"),
        (["sample", "run", "-n", "3", "-n4"], "-n"),
        (["train", "vae/mlp", "--seed=1", "--data", "digits", "--seed", "1"], "--seed"),
        (["data", "check", "digits", "--out", "a.png", "--out", "b.png"], "--out"),
    ],
)
def test_a_second_value_is_refused(words: list[str], flag: str) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert f"{flag} is given twice and takes one value." in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "no-folder", "--json", "--json"],
        ["sample", "no-run", "--set", "a=1", "--set", "b=2", "--post", "clip", "--post", "clip"],
        ["sample", "no-run", "--condition", "a=1", "--condition", "b=1"],
    ],
)
def test_what_may_be_repeated_reaches_the_command(words: list[str]) -> None:
    done = CliRunner().invoke(cli, words)
    assert "takes one value" not in done.output
    assert type(done.exception).__name__ == "ConfigError"  # raised by the command itself: there is no such run
