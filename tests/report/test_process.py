"""What the report says about mining and training."""

import pytest

from embedtune.core.errors import ArtifactError
from embedtune.report import process
from embedtune.report.work import open_work
from tests.support.report_work import make_work


def test_the_duration_of_training_is_the_one_in_the_manifest(tmp_path, config):
    training = process.training(open_work(make_work(tmp_path, config)))
    assert training.seconds == "6 min 52 s"  # the 412 s of the manifest
    assert training.record.best.ndcg_at_10 == 0.55


def test_reasons_for_rejection_are_sentences_and_the_most_frequent_comes_first(tmp_path, config):
    mining = process.mining(open_work(make_work(tmp_path, config)))
    order = [mining.rejected.index(text) for text in ("answers the question", "too close", "near-duplicate")]
    assert order == sorted(order)
    assert "elsewhere" not in mining.rejected  # no candidate was rejected for this reason
    assert mining.audit.negative_ranks.quantiles.median == 6


def test_a_record_of_an_earlier_version_is_refused_with_the_command_that_writes_a_new_one(tmp_path, config):
    make_work(tmp_path, config)
    (tmp_path / "model" / "training.json").write_text('{"steps": [], "dev": []}')
    with pytest.raises(ArtifactError, match="run `embedtune train` again"):
        process.training(open_work(tmp_path))
