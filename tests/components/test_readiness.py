"""The first component refuses a run that cannot end well, and says why in words of the cluster."""

from pathlib import Path

import pytest

from components import readiness
from components.parameters import Form, run_config
from components.readiness import require_good_end, secrets_named
from embedtune.core.config.config import Config
from embedtune.core.errors import ConfigError, EmbedtuneError, InputError, LLMEndpointError
from embedtune.core.secrets import Secrets
from tests.support.openai_server import OpenAIServer

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


@pytest.fixture
def documents(tmp_path: Path) -> str:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A")
    return str(tmp_path / "docs")


def config(server: OpenAIServer, **fields: str) -> Config:
    return run_config(Form("minilm", fields={"llm_url": server.url, "llm_model": "test", **fields}))


def test_a_run_that_can_end_well_costs_one_call(documents: str) -> None:
    with OpenAIServer() as server:
        require_good_end(config(server), Secrets(), documents, deploys=False)
        assert server.stats()["calls"] == 1


def test_a_base_model_of_the_hub_needs_its_commit(documents: str) -> None:
    unpinned = run_config(Form("llama-embed-1b"))
    with pytest.raises(ConfigError, match="revision is not pinned") as error:
        require_good_end(unpinned, Secrets(), documents, deploys=False)
    assert error.value.got == unpinned.contract.base_model
    pinned = {"contract.revision": "0123456789abcdef0123456789abcdef01234567"}
    with OpenAIServer() as server:
        fields = {"llm_url": server.url, "llm_model": "test"}
        form = Form("llama-embed-1b", fields=fields, overrides=pinned)
        require_good_end(run_config(form), Secrets(), documents, deploys=False)


def test_an_llm_endpoint_that_does_not_answer_ends_the_run(documents: str) -> None:
    with OpenAIServer() as server:
        settings = config(server)
    with pytest.raises(LLMEndpointError, match="cannot be reached"):
        require_good_end(settings, Secrets(), documents, deploys=False)


def test_a_release_store_that_cannot_be_written_ends_the_run(documents: str) -> None:
    with OpenAIServer() as server:
        settings = config(server, release_uri="/proc/1/releases")
        require_good_end(settings, Secrets(), documents, deploys=False)
        with pytest.raises(EmbedtuneError, match="cannot be read or written"):
            require_good_end(settings, Secrets(), documents, deploys=True)


def test_a_missing_secret_is_named_with_its_keys_and_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = tmp_path / "namespace"
    namespace.write_text("team-a")
    monkeypatch.setattr(readiness, "NAMESPACE", namespace)
    denied = InputError("the object store refused the request or did not answer", got="AccessDenied")
    with pytest.raises(InputError) as caught, secrets_named(Secrets(), POD):
        raise denied
    assert "embedtune-storage with the keys access-key and secret-key" in str(caught.value.expected)
    assert "team-a" in str(caught.value.expected)
    with pytest.raises(InputError) as caught, secrets_named(Secrets(s3_access_key="k"), POD):
        raise denied
    assert caught.value is denied
    with pytest.raises(LLMEndpointError) as refused, secrets_named(Secrets(), POD):
        raise LLMEndpointError("the LLM endpoint u does not accept the API key")
    assert "embedtune-llm with the key api-key" in str(refused.value.expected)
