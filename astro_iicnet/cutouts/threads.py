"""Jobs in threads, a few at a time."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from astro_iicnet.exceptions import NoImageError, RetrievalError

_TICK = 0.5  # s: after this the caller gets its turn even if nothing has come

_Job = TypeVar("_Job")
_Outcome = TypeVar("_Outcome")


def run_in_threads(
    function: Callable[[_Job], _Outcome], jobs: Iterable[_Job], n_threads: int
) -> Generator[list[tuple[_Job, _Outcome | NoImageError | RetrievalError]]]:
    """Run jobs in threads, with no more under way or waiting to be looked at than needed.

    The threads end with the generator, or with the process: nobody waits for a request that is under
    way when the work is given up, as a pool of the standard library would.

    Parameters
    ----------
    function : callable
        Does a job.
    jobs : iterable
        What to do; taken from it only when a thread is about to be free.
    n_threads : int
        Number of threads.

    Yields
    ------
    list of tuple
        Jobs that were done since the last time and what came of each: the outcome, or the error with
        which the archive failed. Empty when nothing came for half a second. Any other error is raised.
    """
    jobs = iter(jobs)
    todo: SimpleQueue[tuple[_Job, Future[_Outcome]] | None] = SimpleQueue()
    done: SimpleQueue[tuple[_Job, Future[_Outcome]]] = SimpleQueue()
    stop = Event()
    n_threads_started = n_under_way = 0
    try:
        while True:
            for job in islice(jobs, 2 * n_threads - n_under_way):
                todo.put((job, Future()))
                n_under_way += 1
                if n_threads_started < n_threads:
                    Thread(target=_work, args=(function, todo, done, stop), daemon=True).start()
                    n_threads_started += 1
            if not n_under_way:
                return
            came = _wait(done)
            n_under_way -= len(came)
            yield came
    finally:
        stop.set()
        for _ in range(n_threads_started):
            todo.put(None)


def _work(
    function: Callable[[_Job], _Outcome],
    todo: "SimpleQueue[tuple[_Job, Future[_Outcome]] | None]",
    done: "SimpleQueue[tuple[_Job, Future[_Outcome]]]",
    stop: Event,
) -> None:
    while (task := todo.get()) is not None and not stop.is_set():
        job, future = task
        try:
            future.set_result(function(job))
        except BaseException as error:  # it is the caller's
            future.set_exception(error)
        done.put(task)
        del task, job, future  # or an image would be kept until the next job comes


def _wait(
    done: "SimpleQueue[tuple[_Job, Future[_Outcome]]]",
) -> list[tuple[_Job, _Outcome | NoImageError | RetrievalError]]:
    """All that is done; if there is nothing yet, what comes first."""
    came: list[tuple[_Job, _Outcome | NoImageError | RetrievalError]] = []
    try:
        while True:
            job, future = done.get(timeout=_TICK) if not came else done.get_nowait()
            error = future.exception()
            if isinstance(error, NoImageError | RetrievalError):
                came.append((job, error))
            else:
                came.append((job, future.result()))
    except Empty:
        return came
