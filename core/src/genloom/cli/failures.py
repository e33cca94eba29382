"""One way out for every error: one line on stderr, or one JSON document, and the exit code that says what kind.

Exit codes: 0 done, 1 the run failed, 2 usage or configuration, 3 a plugin is defective, 4 a component or plugin is
absent, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import click

from genloom.errors import GenLoomError, reason
from genloom.messages import on_stderr, shown

__all__ = ["SCHEMA_VERSION", "Terminated", "guarded"]

#: Version of the documents that --json prints.
SCHEMA_VERSION = 1

#: Numbers of a refusal of the disk, or whatever the output goes to.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Terminated(BaseException):
    """SIGTERM or a hang-up arrived; not an Exception, so that nothing on the way takes it for a failure."""


def guarded(command: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; errors are printed as `arguments` ask (--json, --traceback)."""
    _watch_for_termination()
    try:
        with on_stderr():
            result = command()
        sys.stdout.flush()
        # click returns the code of ctx.exit() here; commands themselves return None.
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        _mute()  # the reader of a pipe left: `genloom list | head`
        return 1
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())  # a bare `genloom` or `genloom plugins` asks for help, which is no error
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        return _failed(error, arguments)


def _watch_for_termination() -> None:
    def stop(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, stop)
    # A hang-up is unknown on Windows, and ignored under nohup.
    if "SIGHUP" in signal.Signals.__members__ and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, stop)


def _mute() -> None:
    """Drop what is left of the output; without this Python complains once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_output(error: BaseException) -> bool:
    """Say whether what the output goes to is full: files that are written have their own error."""
    return isinstance(error, OSError) and error.errno in _FULL and error.filename is None


def _failed(error: BaseException, arguments: Sequence[str]) -> int:
    if _of_output(error):
        _mute()
    if "--traceback" in arguments and not isinstance(error, click.UsageError):
        import traceback

        print(shown("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    report = _describe(error)
    if "--json" in arguments:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "error": report}, indent=2))
    mend = f" {report['mend']}" if report["mend"] else ""
    print(shown(f"Error: {report['message']}{mend}"), file=sys.stderr)
    return int(report["exit_code"])


def _describe(error: BaseException) -> dict[str, Any]:
    """Return type, message, mend and exit_code of any error."""
    kind = type(error).__name__
    if isinstance(error, GenLoomError):
        return _report(kind, error.message, error.mend, error.exit_code)
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else "genloom"
        return _report("UsageError", error.format_message(), f"Try '{path} --help'.", 2)
    if isinstance(error, click.ClickException):
        return _report(kind, error.format_message(), None, error.exit_code)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _report("Interrupted", "Interrupted.", None, 130)
    if isinstance(error, Terminated):
        return _report("Terminated", "Terminated.", None, 143)
    if _of_output(error):
        return _report(kind, f"The output could not be written: {reason(error)}.", "Send it elsewhere.", 1)
    unknown = _report(kind, f"{kind}: {error}".rstrip(": "), "Put --traceback before the command to see where.", 1)
    return _of_plugin(error) or unknown


def _of_plugin(error: BaseException) -> dict[str, Any] | None:
    """Return what to say of an error that came out of a plugin's own code; want of files and of memory is no fault."""
    if isinstance(error, (OSError, MemoryError)):
        return None
    from genloom.plugins.discovery import culprit

    known = culprit(error)
    if known is None:
        return None
    status, where = known
    message = f"{status.title}: {type(error).__name__}: {error} ({where})."
    return _report("PluginError", message, "Put --traceback before the command to see how it came there.", 3)


def _report(kind: str, message: str, mend: str | None, exit_code: int) -> dict[str, Any]:
    return {"type": kind, "message": " ".join(message.split()), "mend": mend, "exit_code": exit_code}
