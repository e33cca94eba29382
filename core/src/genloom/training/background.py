"""One job at a time beside the training, whose outcome comes back to the training's own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

from genloom.messages import tell

__all__ = ["Background"]


class Background:
    """Run jobs in another thread, in the order in which they are given and never two at once.

    Use as a context manager: what is under way is done to its end when the `with` block is left, however it is left.
    An error of a job is raised in the thread that next looks or waits; where another error is on its way, it is told.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="genloom-saving")
        self._pending: tuple[Future[Any], Callable[[Any], Any]] | None = None

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception as failure:
            if error is None:
                raise
            tell(str(failure))
        finally:
            self._thread.shutdown()

    def begin(self, job: Callable[[], Any], then: Callable[[Any], Any]) -> None:
        """Hand a job over, once the one before is done.

        Args:
            job: touches nothing that the training changes.
            then: takes what the job returned, in the thread that looks or waits.

        Raises:
            Exception: what the job before raised.
        """
        self.wait()
        self._pending = self._thread.submit(job), then

    def look(self) -> None:
        """Take the outcome of the job, if it is done.

        Raises:
            Exception: what the job raised.
        """
        if self._pending is not None and self._pending[0].done():
            self.wait()

    def wait(self) -> None:
        """Wait for the job that is under way, and take its outcome.

        Raises:
            Exception: what the job raised.
        """
        if self._pending is None:
            return
        job, then = self._pending
        wait([job])  # Ctrl-C may end the waiting; the job is then still pending
        self._pending = None
        then(job.result())
