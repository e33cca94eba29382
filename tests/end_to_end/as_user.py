"""What a new user does, word for word: README's listings, a plugin of their own, and the other engines in the end.

    python tests/end_to_end/as_user.py FOLDER       # FOLDER is made anew; needs git, bash and a package index

Nothing of the developer helps: a copy of the checkout, a new home, no variable of Keras, of GenLoom or of threads, and
the environment that README's own first command makes. Every listing of README.md is run as it is written, or stands in
NOT_RUN with the reason; whatever fails or is left out ends this with code 1.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from check_demo import failures

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
DEVELOPERS = ("KERAS_", "GENLOOM_", "_GENLOOM_", "OMP_", "TF_", "JAX_", "XLA_", "TORCH", "PYTHON", "XDG_", "VIRTUAL")

#: What a listing holds, and why it is not run here.
NOT_RUN = {
    "idx:DIR": "needs MNIST's files, and a quarter of an hour",
    "nox -s tests": "is a session of its own",
    "py -3.11": "is for Windows",
}
OTHER_ENGINES = "KERAS_BACKEND=torch"  # the listing that needs more than the first command installs
INSTALL_OTHERS = ('pip install -c constraints.txt "./core[torch]"', '"./core[tensorflow]"')


@dataclasses.dataclass(frozen=True)
class User:
    """A user with a clone, a home and a shell.

    Attributes:
        clone: the folder in which they work.
        env: the variables of their shell.
    """

    clone: Path
    env: dict[str, str]

    def run(self, script: str, folder: str = ".") -> str:
        """Run what they type, show it and what it prints, and return that.

        Raises:
            SystemExit: it failed.
        """
        print(f"\n$ {script.strip()}", flush=True)
        command = ["bash", "-euo", "pipefail", "-c", script]
        printed = []
        with subprocess.Popen(
            command, cwd=self.clone / folder, env=self.env, text=True, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            for line in process.stdout or ():
                print(line, end="", flush=True)
                printed.append(line)
        expect(process.returncode == 0, f"it ended with code {process.returncode}: {script.strip()}")
        return "".join(printed)


def expect(truth: bool, otherwise: str) -> None:
    """Go on, or end with what is wrong."""
    if not truth:
        raise SystemExit(f"as-user: {otherwise}")


def new_user(folder: Path) -> User:
    """Make the clone, the home, and a shell that knows neither this process's environment nor its GenLoom."""
    shutil.rmtree(folder, ignore_errors=True)
    clone, home, programs = folder / "clone", folder / "home", folder / "programs"
    home.mkdir(parents=True)
    programs.mkdir()
    copy_checkout(clone)
    # The interpreter below this environment: what it makes is a plain environment with the pip that Python brings.
    python = Path(getattr(sys, "_base_executable", sys.executable))
    (programs / "python3").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    (programs / "python3").chmod(0o755)
    elsewhere = [part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "genloom").exists()]
    env = {name: value for name, value in os.environ.items() if not name.startswith(DEVELOPERS)}
    downloads = os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    path = [clone / ".venv" / "bin", programs, *elsewhere]  # the first is what `activate` adds
    env |= {"HOME": str(home), "PATH": os.pathsep.join(map(str, path)), "PIP_CACHE_DIR": downloads}
    return User(clone, env)


def copy_checkout(clone: Path) -> None:
    """Copy what git knows or would add, as a clone would hold it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():  # not deleted since
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)


def listings(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (language, code) of a page's listings, less those that are not run."""
    for language, code in FENCE.findall(page.read_text("utf-8")):
        why = next((why for mark, why in NOT_RUN.items() if mark in code), None)
        if why is None:
            yield language, code
        else:
            print(f"\n# not run, for it {why}: {code.splitlines()[0][:100]}", flush=True)


def follow_readme(user: User) -> None:
    """Run README's listings in their order, but the one that needs other engines."""
    for language, code in listings(user.clone / "README.md"):
        if OTHER_ENGINES in code:
            continue
        if language != "python":
            check_engine(user.run(code))
        elif "genloom_components" in code:
            expect(sum(bool(line.strip()) for line in code.splitlines()) <= 30, "a whole plugin is no longer short")
            (user.clone / "gaussian.py").write_text(code, "utf-8")
        else:
            (user.clone / "five_minutes.py").write_text(code, "utf-8")
            printed = user.run("python five_minutes.py")
            expect("(16, 8, 8, 1) True" in printed and "fd[pca20]" in printed, "the Python listing printed else")
            expect(printed.count("Engine: jax\n") == 1, "the Python listing did not say its engine once")
    for name in ("vae.png", "threes.png", "gaussian.png", "runs/vae/report.html", "runs/vae/metrics.json"):
        expect((user.clone / name).is_file(), f"the listings made no {name}")
    measured = json.loads((user.clone / "runs" / "gaussian" / "metrics.json").read_text("utf-8"))
    scores = {each["name"]: each for each in measured}
    agreement, distance = scores["class-agreement"]["value"], scores["fd[pca20]"]
    # Measured: 0.99, as real digits; 0.152, where one Gaussian for all classes has 0.249.
    expect(agreement > 0.95, f"the written plugin's digits are of their classes in {agreement} only")
    expect(distance["value"] < 0.2 < distance["opponents"]["gaussian"], f"its distance is {distance['value']}")


def check_engine(printed: str) -> None:
    """Expect that every command ran on the only engine, and that some said so."""
    said = set(re.findall(r"^Engine: (\w+)$", printed, re.M))
    expect(said <= {"jax"}, f"another engine than JAX was chosen: {sorted(said)}")


def check_report(user: User, engines: int) -> None:
    """Expect that the demo came to its end and kept its promises."""
    report = json.loads((user.clone / "runs" / "demo" / "report.json").read_text("utf-8"))
    found = failures(report, engines)
    expect(not found, "the demo: " + "; ".join(found))


def install_a_plugin(user: User) -> None:
    """Install a first-party plugin and let all of them be checked."""
    expect("Installed genloom-language" in user.run("genloom install --yes ./plugins/language"), "not installed")
    checked = json.loads(user.run("genloom plugins check --json 2>/dev/null"))["plugins"]
    expect({"gan", "language", "vae"} <= {each["name"] for each in checked}, "not every plugin was checked")
    expect(not any(each["defects"] for each in checked), "a sound plugin counts as defective")


def write_a_plugin(user: User) -> None:
    """Write one from the template and do what its README says, its own tests included."""
    user.run("genloom plugins new mine")
    for _, code in listings(user.clone / "genloom-mine" / "README.md"):
        printed = user.run(code, "genloom-mine")
        check_engine(printed)
    expect(re.search(r"\d+ passed", printed) is not None, "the written plugin has no tests that pass")
    user.run("genloom uninstall --yes mine")


def add_the_other_engines(user: User) -> None:
    """Install them as README says; the default stays, the listing runs, and the demo goes on with them."""
    readme = (user.clone / "README.md").read_text("utf-8")
    expect(all(words in readme for words in INSTALL_OTHERS), "README installs the other engines in other words")
    user.run(" ".join(INSTALL_OTHERS))
    for _ in range(2):  # Keras writes a file of its own between the two
        printed = user.run("genloom sample runs/vae -n 1 --out one.png")
        expect(printed.startswith("Engine: jax\n"), "the default engine changed")
    (code,) = [code for _, code in listings(user.clone / "README.md") if OTHER_ENGINES in code]
    said = re.findall(r"^Engine: (\w+)$", user.run(code), re.M)
    expect(said == ["torch", "tensorflow"], f"the listing of other engines ran on {said}")
    user.run("genloom demo")


def main(folder: Path) -> None:
    """Do all of it."""
    user = new_user(folder.resolve())
    follow_readme(user)
    check_report(user, engines=1)
    install_a_plugin(user)
    write_a_plugin(user)
    add_the_other_engines(user)
    check_report(user, engines=3)
    # What needs all three engines at once, and pytest, which the written plugin brought.
    kit = "tests/contracts/test_conformance_processes.py"
    user.run(f"KERAS_BACKEND=jax python -m pytest {kit} -k every_engine_it_declares")
    print("\nas-user: README, a plugin of one's own, three engines and the demo did what they say.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
