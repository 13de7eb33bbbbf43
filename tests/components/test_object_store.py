"""Data in a real object store: EMBEDTUNE_TEST_S3=host:port (plain HTTP), with AWS_ACCESS_KEY_ID and its secret."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.body import open_context
from components.inputs import comparisons, stage_yaml, version, with_pairs_versions
from components.parameters import Form, run_config
from embedtune.core.errors import InputError
from embedtune.core.stage import Context
from tests.support.object_store import ENDPOINT, Bucket, a_bucket, needs_server

pytestmark = needs_server


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with a_bucket() as made:
        yield made


@pytest.fixture
def context() -> Iterator[Context]:
    config = run_config(Form("minilm", fields={"storage_endpoint": ENDPOINT}, storage_tls=False))
    with open_context(stage_yaml(config, "evaluate")) as opened:
        yield opened


def test_new_feedback_changes_what_split_gets_so_that_its_cached_result_is_not_used(
    bucket: Bucket, context: Context
) -> None:
    pairs = [
        {"kind": "feedback", "place": f"s3://{bucket.name}/asked"},
        {"kind": "faq", "place": "/volume/faq.jsonl"},
    ]
    fields, overrides = {"storage_endpoint": str(ENDPOINT)}, {"split.human_pairs": pairs}
    config = run_config(Form("minilm", fields=fields, storage_tls=False, overrides=overrides))

    def now() -> str:
        return stage_yaml(with_pairs_versions(config, context.secrets), "split")

    bucket.put("asked/feedback-2026-11-29.jsonl", b"{}")
    before = now()
    assert now() == before
    bucket.put("asked/feedback-2026-11-30.jsonl", b"{}")
    assert now() != before


def test_a_version_changes_with_an_object_and_with_nothing_outside_the_prefix(
    bucket: Bucket, context: Context
) -> None:
    def now() -> str:
        return version([f"s3://{bucket.name}/docs"], context.config.storage, context.secrets)

    bucket.put("docs/a.md", b"one")
    before = now()
    bucket.put("other/b.md", b"two")
    assert now() == before
    bucket.put("docs/a.md", b"two")
    assert now() != before


def test_an_address_without_objects_is_refused(bucket: Bucket, context: Context) -> None:
    with pytest.raises(InputError, match=bucket.name):
        version([f"s3://{bucket.name}/docs"], context.config.storage, context.secrets)


def test_what_is_compared_is_fetched(bucket: Bucket, context: Context, tmp_path: Path) -> None:
    bucket.put("sets/human/qrels/test.tsv", b"judged")
    bucket.put("models/live/embedtune.json", b"{}")
    sets = f"human=s3://{bucket.name}/sets/human\nlocal={tmp_path}"
    against = comparisons(sets, f"s3://{bucket.name}/models/live", context)
    assert list(against.eval_sets) == ["human", "local"]
    assert (against.eval_sets["human"] / "qrels/test.tsv").read_text() == "judged"
    assert against.eval_sets["local"] == tmp_path
    assert against.champion is not None
    assert (against.champion / "embedtune.json").read_text() == "{}"
