from itertools import count
from threading import Barrier, Event, active_count

import pytest

from astro_iicnet.cutouts.threads import run_in_threads
from astro_iicnet.exceptions import NoImageError, RetrievalError


def test_all_jobs_are_done():
    done = [one for some in run_in_threads(lambda job: job**2, range(100), 4) for one in some]
    assert sorted(done) == [(job, job**2) for job in range(100)]
    assert list(run_in_threads(lambda job: job, [], 4)) == []


def test_threads_work_side_by_side():
    barrier = Barrier(3, timeout=30)
    assert sum(len(some) for some in run_in_threads(lambda job: barrier.wait(), range(6), 3)) == 6


def test_errors_of_the_archive_come_back():
    def work(job):
        raise (NoImageError, RetrievalError)[job](f"job {job}")

    done = dict(one for some in run_in_threads(work, range(2), 2) for one in some)
    assert isinstance(done[0], NoImageError)
    assert isinstance(done[1], RetrievalError)


def test_other_errors_are_raised():
    with pytest.raises(ZeroDivisionError):
        list(run_in_threads(lambda job: 1 // job, [0], 2))


def test_jobs_are_taken_when_they_are_needed():
    taken = []
    jobs = (taken.append(job) or job for job in count())
    rounds = run_in_threads(lambda job: job, jobs, 3)
    n_done = sum(len(next(rounds)) for _ in range(20))
    assert n_done <= len(taken) <= n_done + 6
    rounds.close()


def test_the_caller_gets_its_turn_while_nothing_comes():
    go_on = Event()
    rounds = run_in_threads(lambda job: go_on.wait(30), [0], 1)
    assert next(rounds) == []
    go_on.set()
    assert [one for some in rounds for one in some] == [(0, True)]


def test_nobody_waits_for_work_that_is_given_up():
    before, go_on = active_count(), Event()
    rounds = run_in_threads(lambda job: go_on.wait(30), range(9), 2)
    assert next(rounds) == []
    rounds.close()
    assert active_count() > before
    go_on.set()
