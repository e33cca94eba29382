"""The table of commands: name, where the code is, one line of help. Reading it imports none of them."""

from __future__ import annotations

__all__ = ["COMMANDS"]

#: name -> ("module:attr", help), in the order of `genloom --help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("genloom.cli.train:train", "Train a model on a data set."),
    "sample": ("genloom.cli.sample:sample", "Draw samples from a run and write them to a file."),
    "evaluate": ("genloom.cli.evaluate:evaluate", "Measure a run beside what real data scores."),
    "compare": ("genloom.cli.compare:compare", "Compare runs on the same data."),
    "encode": ("genloom.cli.encode:encode", "Write the latent codes of a data set."),
    "report": ("genloom.cli.report:report", "Write a run's report as one HTML file."),
    "runs": ("genloom.cli.runs:runs", "List the runs in a folder, or prune their checkpoints."),
    "list": ("genloom.cli.listing:list_command", "List what plugins offer: models, data sets, metrics, …"),
    "show": ("genloom.cli.listing:show", "Show one component: its options and presets."),
    "data": ("genloom.cli.data:data", "Look at data before training on it."),
    "plugins": ("genloom.cli.plugins:plugins", "List, check, freeze and write plugins."),
    "install": ("genloom.cli.install:install", "Install plugins, check them, and undo what does not work."),
    "uninstall": ("genloom.cli.install:uninstall", "Remove plugins."),
    "doctor": ("genloom.cli.doctor:doctor", "Check this installation and say what is missing."),
    "completion": ("genloom.cli.completion:completion", "Print the TAB completion script of a shell."),
}
