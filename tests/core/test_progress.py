"""Progress: rates and remaining times, also after a resume, and the lines of a log."""

import logging

from embedtune.core import progress
from embedtune.core.progress import LineProgress, Pace
from tests.support.waiting import wait_until


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_an_earlier_run_did_says_nothing_about_the_time_left():
    clock = Clock()
    pace = Pace(1000, clock)
    pace.done = pace.skipped = 900
    assert (pace.rate, pace.left_s) == (None, None)
    clock.now += 10
    pace.done += 5
    assert (pace.rate, pace.left_s) == (0.5, 190.0)  # 95 are left, at 0.5 per second; not 10 / 90.5 of that


def test_a_task_of_unknown_size_has_a_rate_and_no_end():
    clock = Clock()
    pace = Pace(None, clock)
    clock.now += 4
    pace.done = 8
    assert (pace.rate, pace.left_s) == (2.0, None)


def test_what_follows_the_last_unit_is_not_said_to_take_no_time(caplog):
    clock = Clock()
    caplog.set_level(logging.INFO, "embedtune")
    with LineProgress(clock).task("train", 2, "steps") as task:
        clock.now += 10
        task.advance(2)
        clock.now += 20
        task.note("loss 0.1, measuring on dev")
    assert caplog.messages == ["train: 2/2 steps, 15.0 s/step, 30 s so far, loss 0.1, measuring on dev"]


def test_a_line_is_logged_while_work_waits_and_nothing_advances(caplog):
    clock = Clock()
    caplog.set_level(logging.INFO, "embedtune")
    with LineProgress(clock).task("write questions", 40, "calls") as task:
        task.skip(10)
        task.note("16 in flight")
        assert caplog.messages == []
        clock.now += 15
        task.note("16 in flight, 0 calls answered")
        clock.now += 14
        task.note("still waiting")
        assert caplog.messages == ["write questions: 10/40 calls, 15 s so far, 16 in flight, 0 calls answered"]
        clock.now += 1
        task.advance(6)
    assert caplog.messages[1] == "write questions: 16/40 calls, 5.0 s/call, 2 min 0 s left, still waiting"


def test_a_step_that_takes_long_is_not_silent(caplog, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.01)
    caplog.set_level(logging.INFO, "embedtune")
    with LineProgress().task("embed", 512, "passages"):
        wait_until(lambda: len(caplog.messages) >= 2)
    assert all(line.startswith("embed: 0/512 passages, ") and line.endswith(" so far") for line in caplog.messages)
