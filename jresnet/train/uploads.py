"""Uploads that follow a save, in a thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Uploads:
    """Calls `upload` in a thread, if there is one; what it raises, `wait` raises."""

    def __init__(self, upload: Callable[[], None] | None):
        self.upload = upload
        self.thread = ThreadPoolExecutor(1, "upload")
        self.running: list[Future[None]] = []

    def begin(self, finish: Callable[[], None]) -> None:
        """Have everything uploaded once `finish` has waited for it to be on disk."""
        if self.upload is not None:
            finish()
            self.running.append(self.thread.submit(self.upload))

    def wait(self) -> None:
        """Wait for what was begun. Raises what the first one that failed raised."""
        running, self.running = self.running, []
        for one in running:
            one.result()

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            self.thread.shutdown()
