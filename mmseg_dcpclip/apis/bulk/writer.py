"""Writes masks beside the network, which does not wait for the disk."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore, Lock

from .records import PictureRecord, Records


class Writer:
    """Threads that write pictures and, once all of a part are there, its record.

    Args:
        records: Where records go.
        threads: How many.
        waiting: Pictures, at most, that are given and not yet written; whoever gives
            more waits.
    """

    def __init__(self, records: Records, threads: int = 2, waiting: int = 32) -> None:
        self.records = records
        self.pool = ThreadPoolExecutor(threads, 'writer')
        self.room = BoundedSemaphore(waiting)
        self.open: dict[str, list[Future[PictureRecord]]] = {}
        self.error: BaseException | None = None
        self.lock = Lock()
        self.written = 0

    def put(self, place: str, write: Callable[[], PictureRecord]) -> None:
        """Write a picture.

        Args:
            place: Of its part.
            write: Writes it and returns its record.

        Raises:
            OSError: An earlier one could not be written.
        """
        self._check()
        self.room.acquire()
        self.open.setdefault(place, []).append(self.pool.submit(self._write, write))

    def close_part(self, place: str) -> None:
        """Write the record of a part, all of whose pictures were given."""
        pictures = self.open.pop(place, [])
        if pictures:
            self.pool.submit(self._record, place, pictures)

    def __enter__(self) -> 'Writer':
        return self

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        """Finish what was given; after an error no more than what has begun."""
        self.pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self._check()

    def _write(self, write: Callable[[], PictureRecord]) -> PictureRecord:
        try:
            record = write()
            with self.lock:
                self.written += 1
            return record
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.room.release()

    def _record(self, place: str, pictures: list[Future[PictureRecord]]) -> None:
        try:
            # They stand before this in the queue, so all have begun: it ends.
            self.records.add(place, [picture.result() for picture in pictures])
        except BaseException as error:
            self.error = error

    def _check(self) -> None:
        if self.error is not None:
            raise self.error
