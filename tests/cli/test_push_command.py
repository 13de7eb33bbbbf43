"""`embedtune push`: what it says before and after, and what it refuses without asking."""

import json

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from tests.support.hub_server import HubServer, Repo
from tests.support.pushable import train_once, with_verdict


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_once(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", server.token)
        yield server


def push(trained, tmp_path, *options: str, verdict: str | None = "WIN"):
    work = with_verdict(trained, tmp_path / "work", verdict, trained.parent / "base")
    return CliRunner().invoke(cli, ["push", "hf://acme/tiny", "--work", str(work), *options])


def test_it_shows_what_will_be_uploaded_and_ends_with_how_to_load_it(trained, tmp_path, hub):
    done = push(trained, tmp_path, "--yes")
    assert done.exit_code == 0, done.output
    assert "model.safetensors" in done.stderr and "verdict: WIN on synthetic" in done.stderr
    assert "does not name a licence" in done.stderr
    assert "SentenceTransformer('acme/tiny')" in done.stdout
    assert hub.token not in done.output


def test_json_has_the_address_and_nothing_else_on_stdout(trained, tmp_path, hub):
    done = push(trained, tmp_path, "--yes", "--json", "--licence", "mit")
    record = json.loads(done.stdout)
    assert record["changed"] and record["address"].startswith(f"{hub.url}/acme/tiny/tree/")


@pytest.mark.parametrize(
    ("options", "verdict", "says"),
    [
        (["--yes"], "MARGINAL", "--any-verdict"),
        (["--yes"], None, "embedtune evaluate"),
        ([], "WIN", "add --yes"),
        (["--yes", "--licence", "Apache 2"], "WIN", "apache-2.0"),
    ],
)
def test_what_is_refused_changes_nothing(trained, tmp_path, hub, options, verdict, says):
    done = push(trained, tmp_path, *options, verdict=verdict)
    assert done.exit_code != 0 and says in done.stderr
    assert not hub.repos


def test_a_model_is_not_pushed_to_a_public_repository_by_accident(trained, tmp_path, hub):
    hub.repos["acme/tiny"] = Repo(private=False)
    done = push(trained, tmp_path, "--yes")
    assert done.exit_code == 3 and "--public" in done.stderr
    assert not hub.repos["acme/tiny"].files
