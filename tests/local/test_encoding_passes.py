"""The estimate counts every pass over the passages; values worked out by hand."""

import pytest

from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.local.estimate import KEPT_SHARE, encoding_passes


@pytest.mark.parametrize(
    ("train", "times"),
    [
        ({}, 3),  # three epochs
        ({"evaluations_per_epoch": 2}, 6),
        ({"seeds": 3}, 9),
        ({"base_share": 0.5}, 6),  # and 25, 50 and 75% of the base model's weights
        ({"base_share": 0.3}, 7),  # and 30%
        ({"seeds": 3, "base_share": 0.5}, 12),  # shares of the model that is kept
    ],
)
def test_dev_is_measured_after_each_epoch_and_at_each_share(
    config: Config, train: dict[str, object], times: int
) -> None:
    settings = config.train.model_copy(
        update={"epochs": 3, "evaluations_per_epoch": 1, "seeds": 1, "base_share": 0.0, **train}
    )
    ingest = config.ingest.model_copy(update={"dev_share": 0.1, "test_share": 0.2})
    asked = round(1000 / KEPT_SHARE)  # so that 1,000 are kept
    given = config.model_copy(update={"train": settings, "ingest": ingest})
    passes = encoding_passes(given, 500, asked, Comparisons())
    assert passes[1].what == f"training: dev is measured {times} times"
    assert (passes[1].passages, passes[1].questions) == (500 * times, 100 * times)
    assert (passes[0].passages, passes[0].questions) == (500, asked)
    assert (passes[2].passages, passes[2].questions) == (500, 200)
