"""The gateway's options about feedback: off by default, and what is wrong is said at the start."""

from pathlib import Path
from typing import Any

import pytest

from embedtune.core.errors import ConfigError, InputError
from embedtune.serve.gateway.__main__ import main as gateway
from embedtune.serve.gateway.feedback.log import FeedbackOptions
from embedtune.serve.gateway.feedback.options import feedback_of

STORE = {"EMBEDTUNE_S3_ENDPOINT": "minio:9000", "EMBEDTUNE_S3_SECURE": "false"}


def options(*given: str, environment: dict[str, str] = STORE) -> FeedbackOptions | None:
    with gateway.make_context("gateway", list(given)) as context:
        return feedback_of(context.params, environment)


def test_nothing_is_recorded_by_default() -> None:
    assert options() is None
    assert options("--feedback", "") is None


def test_a_directory_is_the_place_itself(tmp_path: Path) -> None:
    found = options("--feedback", str(tmp_path), "--feedback-days", "30", "--feedback-max-mb", "5")
    assert found == FeedbackOptions(tmp_path.resolve(), None, 30, 5_000_000, None)


def test_gateways_of_different_buckets_never_send_each_others_files(tmp_path: Path) -> None:
    folder = ("--feedback-folder", str(tmp_path))
    one, other, again = (
        options("--feedback", place, *folder) for place in ("s3://one", "s3://other", "s3://one/")
    )
    assert one is not None and other is not None and again is not None
    assert one.folder == again.folder != other.folder
    assert one.folder.parent == other.folder.parent == tmp_path.resolve()
    assert one.objects is not None and one.objects.uri == "s3://one/"


@pytest.mark.parametrize(
    ("place", "environment", "error", "what"),
    [
        ("s3://asked", {}, ConfigError, "EMBEDTUNE_S3_ENDPOINT"),
        ("s3://a", STORE, InputError, "not the name of a bucket"),
    ],
)
def test_a_bucket_needs_a_name_and_a_store(place: str, environment: dict[str, str], error: Any, what: str) -> None:
    with pytest.raises(error, match=what):
        options("--feedback", place, environment=environment)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "cannot be read"),
        ("models: [", "cannot be read"),
        ("models: {en: null}", "PERSON cannot be recognised in en without a spaCy model"),
        ("model: {en: null}", "models: Field required"),
    ],
)
def test_a_wrong_mask_is_said(tmp_path: Path, text: str | None, what: str) -> None:
    file = tmp_path / "mask.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=what):
        options("--feedback", str(tmp_path), "--feedback-mask", str(file))
