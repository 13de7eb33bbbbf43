"""The gate: a model goes live if an evaluation says that the exported model is better than the live one."""

from pathlib import Path
from typing import Literal

import pytest

from embedtune.core.artifacts import Artifact, read_artifact, write_artifact
from embedtune.core.comparisons import CHAMPION_MODEL
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import render_record
from embedtune.deploy.gate import decide, goes_on
from tests.support.context import provenance
from tests.support.evaluation_records import make_verdict


def artifact(path: Path, name: str, files: dict[str, str], **inputs: str) -> Artifact:
    with write_artifact(path / name, name, provenance(inputs=inputs)) as draft:
        for file, text in files.items():
            (draft.path / file).parent.mkdir(parents=True, exist_ok=True)
            (draft.path / file).write_text(text)
    return read_artifact(path / name, name)


def engine(path: Path, model: str = "new") -> Artifact:
    files = ("embedtune.json", "engine.json", "parity.json", "reference.parquet", "model.onnx", "tokenizer.json")
    return artifact(path, "engine", dict.fromkeys(files, "{}"), model=model)


def evaluation(
    path: Path,
    verdict: str,
    against: Literal["base", "champion"] = "base",
    model: str = "new",
    champion: str | None = "old",
) -> Artifact:
    record = render_record(make_verdict(verdict, against))
    files = {"verdict.json": record, "metrics.json": "{}", "per_query.parquet": ""}
    inputs = {"model": model, CHAMPION_MODEL: champion if against == "champion" else None}
    return artifact(path, "evaluation", files, **{name: value for name, value in inputs.items() if value})


@pytest.mark.parametrize(
    ("verdict", "accept", "deployed"),
    [
        ("WIN", "win", True),
        ("MARGINAL", "win", False),
        ("REGRESSION", "win", False),
        ("WIN", "marginal", True),
        ("MARGINAL", "marginal", True),
        ("REGRESSION", "marginal", False),
    ],
)
@pytest.mark.parametrize("against", ["base", "champion"])
def test_only_an_accepted_verdict_is_deployed(
    tmp_path: Path, verdict: str, accept: str, deployed: bool, against: Literal["base", "champion"]
) -> None:
    live = "old" if against == "champion" else None
    settings = DeploySettings.model_validate({"accept": accept})
    challenger, compared = engine(tmp_path), evaluation(tmp_path, verdict, against)
    before_export = goes_on(compared.path, accept)
    assert before_export.deploy is deployed
    assert f"{verdict} against the {against}" in before_export.reason and accept in before_export.reason
    decision = decide(challenger, compared, live, settings)
    assert decision.deploy is deployed
    assert f"{verdict} against the {against}" in decision.reason
    assert "+0.0312 nDCG@10, interval -0.0010 to +0.0600" in decision.reason


def test_a_run_that_deploys_nothing_says_so(tmp_path: Path) -> None:
    decision = goes_on(evaluation(tmp_path, "WIN").path, None)
    assert not decision.deploy
    assert decision.reason.startswith("WIN against the base (+0.0312 nDCG@10")
    assert decision.reason.endswith("this run deploys nothing")


def test_better_than_the_base_is_not_better_than_another_live_model(tmp_path: Path) -> None:
    decision = decide(engine(tmp_path), evaluation(tmp_path, "WIN", "base"), "old", DeploySettings())
    assert not decision.deploy
    assert "did not compare with it" in decision.reason


@pytest.mark.parametrize(
    ("champion", "said"), [("older", "compared with model older"), (None, "without a manifest")]
)
def test_better_than_a_model_that_is_no_longer_live_is_not_enough(
    tmp_path: Path, champion: str | None, said: str
) -> None:
    compared = evaluation(tmp_path, "WIN", "champion", champion=champion)
    decision = decide(engine(tmp_path), compared, "old", DeploySettings())
    assert not decision.deploy
    assert said in decision.reason and "model old is live" in decision.reason


def test_the_model_that_is_already_live_may_be_deployed_again(tmp_path: Path) -> None:
    # For example in another precision: it need not beat itself.
    assert decide(engine(tmp_path), evaluation(tmp_path, "MARGINAL"), "new", DeploySettings()).deploy


def test_the_verdict_of_another_model_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="belong to different models"):
        decide(engine(tmp_path), evaluation(tmp_path, "WIN", model="older"), None, DeploySettings())


def test_a_verdict_of_an_older_version_is_refused(tmp_path: Path) -> None:
    compared = evaluation(tmp_path, "WIN")
    (compared.path / "verdict.json").write_text('{"promotion": {"verdict": "WIN"}}')
    with pytest.raises(ArtifactError, match=r"(?s)version 0.*`embedtune evaluate`"):
        decide(engine(tmp_path), compared, None, DeploySettings())
