"""What generate reads of the chunks, and what it refuses before any question is paid for."""

from dataclasses import replace

import pytest

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import GateError
from embedtune.generate.passages import Passage, require_evaluable
from tests.support.passages_world import passage


def of(split: str, count: int, first: int = 0) -> list[Passage]:
    return [passage(first + number, split) for number in range(count)]


def refused(passages: list[Passage], settings: IngestSettings) -> bool:
    try:
        require_evaluable(passages, settings)
    except GateError:
        return True
    return False


@pytest.mark.parametrize(("dev", "test", "expected"), [(3, 3, False), (2, 3, True), (3, 2, True)])
def test_three_passages_in_dev_and_in_test_are_enough(dev: int, test: int, expected: bool) -> None:
    passages = [*of("train", 1), *of("dev", dev, 10), *of("test", test, 20)]
    assert refused(passages, IngestSettings()) is expected


def test_split_without_enough_passages_is_refused_with_what_to_do() -> None:
    with pytest.raises(GateError, match=r"dev and test would be[\s\S]*5 in train, 0 in dev, 2 in test"):
        require_evaluable([*of("train", 5), *of("test", 2, 20)], IngestSettings())


@pytest.mark.parametrize("reason", ["boilerplate", "border"])
def test_passages_without_questions_do_not_count(reason: str) -> None:
    test = [replace(one, **{reason: True}) for one in of("test", 9, 20)]
    with pytest.raises(GateError, match="test would be almost empty"):
        require_evaluable([*of("train", 5), *of("dev", 3, 10), *test], IngestSettings())


def test_split_that_is_not_wanted_may_be_empty() -> None:
    passages = [*of("train", 5), *of("dev", 3, 10)]
    assert refused(passages, IngestSettings())
    assert not refused(passages, IngestSettings(train_share=0.9, dev_share=0.1, test_share=0.0))
