"""Data in a real object store: EMBEDTUNE_TEST_S3=host:port (plain HTTP), with AWS_ACCESS_KEY_ID and its secret."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.body import open_context
from components.inputs import comparisons, stage_yaml, version
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
