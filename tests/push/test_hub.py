"""Pushing to the Hugging Face Hub: one commit, nothing twice, and every refusal in words."""

import pytest
import yaml

from embedtune.core.artifacts import file_sha256
from embedtune.core.errors import ConfigError, InputError
from embedtune.push.contents import Contents, gather
from embedtune.push.hub import HubTarget
from embedtune.push.target import Credentials
from embedtune.report.card_metadata import CardFacts
from tests.support.hub_server import HubServer, Repo

FACTS = CardFacts("acme/base", "apache-2.0", ("acme/questions",))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with HubServer() as server:
        yield server


@pytest.fixture
def contents(work, tmp_path) -> Contents:
    return gather(work, FACTS, "acme/tiny", tmp_path)


def target(hub: HubServer, token: str = "hf_writer", name: str = "acme/tiny") -> HubTarget:
    return HubTarget(f"hf://{name}", Credentials(hub_token=token, hub_endpoint=hub.url))


def test_the_first_push_creates_a_private_repository_with_the_same_bytes(hub, contents):
    assert "created" in target(hub).inspect().said
    done = target(hub).push(contents, public=False)
    repo = hub.repos["acme/tiny"]
    assert repo.private and done.changed and done.address.endswith(repo.sha)
    assert repo.files == {name: path.read_bytes() for name, path in contents.files.items()}
    assert "model.safetensors" in repo.large and len(hub.parts) > 1  # it was uploaded in parts
    assert "manifest.json" not in repo.files


def test_the_card_has_the_metadata_that_the_hub_reads(hub, contents):
    target(hub).push(contents, public=False)
    head = yaml.safe_load(hub.repos["acme/tiny"].files["README.md"].decode().split("---\n")[1])
    assert (head["base_model"], head["license"], head["datasets"]) == (
        "acme/base",
        "apache-2.0",
        ["acme/questions"],
    )
    assert "license_name" not in head
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == "information-retrieval"
    assert result["dataset"] == {"name": "synthetic (9 questions)", "type": "unknown", "split": "test"}
    assert [(one["type"], one["value"]) for one in result["metrics"]] == [
        ("ndcg_at_10", 0.625),
        ("mrr_at_10", 0.5),
    ]


def test_the_same_push_again_commits_nothing_and_uploads_nothing(hub, contents):
    target(hub).push(contents, public=False)
    before = len(hub.requests)
    again = target(hub).push(contents, public=False)
    assert not again.changed
    assert len(hub.repos["acme/tiny"].commits) == 1
    assert not [one for one in hub.requests[before:] if "/storage/" in one or "/commit/" in one]


def test_weights_travel_through_xet_as_by_default(hub, contents, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    assert target(hub).push(contents, public=False).changed
    (weights,) = (line["value"] for line in hub.repos["acme/tiny"].commits[0] if line["key"] == "lfsFile")
    assert weights["oid"] == file_sha256(contents.files["model.safetensors"])
    assert hub.xet_bytes > 100_000 and not hub.parts


def test_stale_weights_go_and_files_of_others_stay(hub, contents):
    hub.repos["acme/tiny"] = Repo(True, {"model-00001-of-00002.safetensors": b"old", "logo.png": b"theirs"})
    target(hub).push(contents, public=False)
    assert hub.repos["acme/tiny"].files.keys() == {*contents.files, "logo.png"}


def test_an_interrupted_push_is_repeated_without_sending_what_arrived(hub, contents):
    hub.interrupt_uploads = 1
    with pytest.raises(InputError, match="write to this repository"):
        target(hub).push(contents, public=False)
    assert not hub.repos["acme/tiny"].commits
    assert target(hub).push(contents, public=False).changed


@pytest.mark.parametrize(
    ("token", "name", "says"),
    [
        ("wrong", "acme/tiny", r"HTTP 401[\s\S]*HF_TOKEN is a valid token"),
        ("hf_reader", "acme/tiny", r"HTTP 403[\s\S]*may write"),
        ("hf_writer", "others/tiny", r"HTTP 403[\s\S]*may write"),
    ],
)
def test_a_refusal_says_what_to_do_and_never_the_token(hub, contents, token, name, says):
    with pytest.raises(InputError, match=says) as caught:
        target(hub, token, name).push(contents, public=False)
    assert token not in str(caught.value)
    assert not hub.stored


def test_a_commit_of_somebody_else_in_the_meantime_is_not_overwritten(hub, contents):
    hub.repos["acme/tiny"] = Repo(True)
    hub.pushed_meanwhile = True
    with pytest.raises(InputError, match="somebody else has pushed to the repository in the meantime"):
        target(hub).push(contents, public=False)
    assert not hub.repos["acme/tiny"].files
    assert target(hub).push(contents, public=False).changed


def test_a_public_repository_is_named_as_one(hub):
    hub.repos["acme/tiny"] = Repo(private=False)
    assert target(hub).inspect().public


def test_a_hub_that_does_not_answer_is_named():
    with pytest.raises(InputError, match=r"did not answer[\s\S]*127\.0\.0\.1:1"):
        HubTarget("hf://acme/tiny", Credentials(hub_token="t", hub_endpoint="http://127.0.0.1:1")).inspect()


def test_without_a_token_nothing_is_tried():
    with pytest.raises(ConfigError, match="HF_TOKEN"):
        HubTarget("hf://acme/tiny", Credentials())


@pytest.mark.parametrize("address", ["hf://tiny", "hf://a/b/c", "hf:///x"])
def test_an_address_that_is_no_repository_is_refused(address):
    with pytest.raises(InputError, match="hf://OWNER/NAME"):
        HubTarget(address, Credentials(hub_token="t"))
