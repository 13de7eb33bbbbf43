"""The benchmark of a large corpus runs the real stages; here on a small one."""

from bench import scale
from embedtune.core.artifacts import read_artifact


def test_all_steps_run_without_a_model(tmp_path):
    scale.make(tmp_path, passages=400, questions=80, words=20)
    for step in scale.STEPS.values():
        step(tmp_path)
    assert read_artifact(tmp_path / "dataset", "dataset").manifest.counts["train_queries"] == 64
    assert read_artifact(tmp_path / "triplets", "triplets").manifest.counts["rows"] > 0
    metrics = read_artifact(tmp_path / "evaluation", "evaluation").manifest.report.metrics
    # Random vectors with noise: each passage is nearer to its question than any other, and words repeat.
    assert metrics["synthetic.base.ndcg@10"] == metrics["synthetic.tuned.ndcg@10"] == 1.0
