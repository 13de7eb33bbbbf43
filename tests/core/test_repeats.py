"""Repeated warnings become one line with a count."""

import logging

import pytest

from embedtune.core.repeats import ONCE, Repeats


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def world():
    lines, repeats, log = Lines(), Repeats(), logging.Logger("embedtune.test")
    lines.addFilter(repeats)
    log.addHandler(lines)
    return lines, repeats, log


def test_114_warnings_of_a_kind_are_three_and_a_count(world):
    lines, repeats, log = world
    for number in range(114):
        log.warning("skipped %s: %s", f"{number}.doc", "empty")
    repeats.say(lines)
    assert lines.lines == [
        *(f"skipped {number}.doc: empty" for number in range(3)),
        "111 more like this: skipped 113.doc: empty",
    ]


def test_the_same_words_are_shown_once(world):
    lines, repeats, log = world
    for _ in range(5):
        log.warning("%s", "a library says the same again")
    log.warning("%s", "something else")
    repeats.say(lines)
    assert lines.lines == [
        "a library says the same again",
        "something else",
        "4 more like this: a library says the same again",
    ]


def test_what_says_nothing_new_when_repeated_is_not_counted(world):
    lines, repeats, log = world
    for words in ("learned this", "learned this", "learned that"):
        log.warning("%s", words, extra=ONCE)
    repeats.say(lines)
    assert lines.lines == ["learned this", "learned that"]


def test_what_is_not_a_warning_is_always_shown_and_nothing_is_said_twice(world):
    lines, repeats, log = world
    for _ in range(5):
        log.info("step")
    repeats.say(lines)
    assert lines.lines == ["step"] * 5
    log.warning("one")
    log.warning("one")
    repeats.say(lines)
    repeats.say(lines)
    assert lines.lines[5:] == ["one", "1 more like this: one"]
