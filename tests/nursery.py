"""Programs run in processes that are born with the libraries of others imported: a server forks one for each.

    python tests/nursery.py MODULE...       # imports them, then reads requests, one line of JSON each

Importing an engine and what Keras imports takes seconds, of which a test checks nothing. Neither Keras nor GenLoom is
imported beforehand: which engine Keras runs on, and all that GenLoom keeps, begin anew in every process.
A request says the program, its words, environment and folder, and the files of its output; the answer is its exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import warnings
from typing import Any


def serve() -> dict[str, Any]:
    """Answer requests until there are no more; return, in a process of its own, each request that is to be run."""
    for line in sys.stdin:
        with warnings.catch_warnings(action="ignore"):  # of threads, none of which an import has begun to use
            child = os.fork()
        if child == 0:
            request: dict[str, Any] = json.loads(line)
            return request
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    raise SystemExit


def become(request: dict[str, Any]) -> None:
    """Make this process what Python would have made of `python -c PROGRAM WORD…`."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    redirect(0, os.devnull, os.O_RDONLY)
    redirect(1, request["stdout"], os.O_WRONLY | os.O_CREAT)
    redirect(2, request["stderr"], os.O_WRONLY | os.O_CREAT)
    added = [part for part in request["env"].get("PYTHONPATH", "").split(os.pathsep) if part not in sys.path]
    sys.path[:] = ["", *added, *sys.path[1:]]
    sys.argv[:] = ["-c", *request["words"]]
    importlib.invalidate_caches()


def redirect(stream: int, name: str, flags: int) -> None:
    """Let a stream of this process be a file."""
    file = os.open(name, flags)
    os.dup2(file, stream)
    os.close(file)


if __name__ == "__main__":
    with warnings.catch_warnings(action="ignore"):
        for module in sys.argv[1:]:
            importlib.import_module(module)
    gc.freeze()  # what is there now is not looked through again, nor copied for it, in each process
    wanted = serve()
    become(wanted)
    exec(compile(wanted["program"], "<string>", "exec", dont_inherit=True))  # noqa: S102 - what `python -c` does
