"""Pushing to a real OCI registry: EMBEDTUNE_TEST_OCI=127.0.0.1:port, without TLS and open to everybody."""

import os
import time
import uuid

import pytest

from embedtune.core.errors import InputError
from embedtune.push import registry
from embedtune.push.contents import gather
from embedtune.push.registry import RegistryTarget
from embedtune.push.target import Credentials
from embedtune.report.card_metadata import CardFacts

HOST = os.environ.get("EMBEDTUNE_TEST_OCI")
needs_registry = pytest.mark.skipif(HOST is None, reason="EMBEDTUNE_TEST_OCI is not set")


@pytest.fixture
def contents(work, tmp_path):
    return gather(work, CardFacts(), "model", tmp_path)


@needs_registry
@pytest.mark.parametrize("parts_from", [1000, 64 << 20], ids=["in-parts", "whole"])
def test_what_is_pulled_is_what_was_pushed_and_the_tag_moves_only_if_it_changed(
    contents, tmp_path, monkeypatch, parts_from
):
    from oras.client import OrasClient

    monkeypatch.setattr(registry, "IN_PARTS_FROM", parts_from)
    name = f"{HOST}/embedtune/{uuid.uuid4().hex[:8]}:v1"
    target = RegistryTarget(f"oci://{name}", Credentials(), tmp_path)
    assert "nothing" in target.inspect().said
    first = target.push(contents, public=False)
    again = target.push(contents, public=False)
    assert (first.changed, again.changed) == (True, False)
    assert first.address == again.address and "@sha256:" in first.address
    OrasClient(insecure=True).pull(name, outdir=str(tmp_path / "model"))
    pulled = {path.relative_to(tmp_path / "model").as_posix(): path for path in (tmp_path / "model").rglob("*.*")}
    assert {name: path.read_bytes() for name, path in pulled.items() if path.is_file()} == {
        name: path.read_bytes() for name, path in contents.files.items()
    }


def test_a_registry_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client tries again for two minutes
    target = RegistryTarget("oci://127.0.0.1:1/a/b:1", Credentials(), tmp_path)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1/a/b:1[\s\S]*network"):
        target.inspect()


@pytest.mark.parametrize("address", ["oci://a/b", "oci://a", "oci://a/b@sha256:0", "oci:///b:1"])
def test_an_address_without_a_tag_is_refused(address, tmp_path):
    with pytest.raises(InputError, match="oci://HOST/REPOSITORY:TAG"):
        RegistryTarget(address, Credentials(), tmp_path)
