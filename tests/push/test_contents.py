"""What is pushed, and what is refused before anything is uploaded."""

import json

import pytest

from embedtune.core.errors import ArtifactError, GateError, InputError
from embedtune.push.contents import gather, require_win
from embedtune.push.target import Credentials, target_of
from embedtune.report.card_metadata import CardFacts, with_metadata
from tests.support.pushable import with_verdict


def test_seeds_and_the_manifest_stay_behind(work, tmp_path):
    contents = gather(work, CardFacts(), "acme/tiny", tmp_path)
    assert {"model.safetensors", "README.md", "embedtune.json"} <= contents.files.keys()
    assert "manifest.json" not in contents.files
    assert contents.size == sum(len(path.read_bytes()) for path in contents.files.values())


@pytest.mark.parametrize("verdict", ["MARGINAL", "REGRESSION", None])
def test_a_model_that_is_no_win_is_pushed_only_if_told_to(trained, tmp_path, verdict):
    work = with_verdict(trained, tmp_path / "work", verdict, trained.parent / "base")
    contents = gather(work, CardFacts(), "acme/tiny", tmp_path)
    with pytest.raises(GateError, match=verdict or "no evaluation"):
        require_win(contents, any_verdict=False)
    require_win(contents, any_verdict=True)


def test_a_win_is_pushed(work, tmp_path):
    contents = gather(work, CardFacts(), "acme/tiny", tmp_path)
    require_win(contents, any_verdict=False)  # raises nothing
    assert contents.verdict is not None and contents.verdict.verdict == "WIN"


def test_weights_that_were_changed_are_refused(work, tmp_path):
    weights = work / "model/model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(ArtifactError, match="was changed"):
        gather(work, CardFacts(), "acme/tiny", tmp_path)


def test_an_evaluation_of_another_model_is_no_verdict_of_this_one(work, tmp_path):
    manifest = work / "evaluation/manifest.json"
    record = json.loads(manifest.read_text())
    record["inputs"]["model"] = "0" * 64
    manifest.write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match="of another model"):
        gather(work, CardFacts(), "acme/tiny", tmp_path)


@pytest.mark.parametrize(
    "facts",
    [{"base_model": "no-owner"}, {"datasets": ("a/b/c",)}, {"licence": "Apache 2.0"}],
)
def test_facts_that_the_hub_would_refuse_are_refused_here(facts):
    with pytest.raises(InputError):
        CardFacts(**facts)


def test_a_folder_is_never_named_as_the_base_model():
    card = '---\nbase_model: "/home/me/base"\ntags: [a]\n---\n\n# m\n'
    assert with_metadata(card, CardFacts(), None) == "---\ntags:\n- a\n---\n\n# m\n"
    assert "base_model: acme/base\n" in with_metadata(card, CardFacts(base_model="acme/base"), None)


def test_a_card_without_metadata_stays_as_it_is():
    assert with_metadata("# m\n", CardFacts(), None) == "# m\n"


def test_an_unknown_kind_of_address_is_refused(tmp_path):
    from embedtune.core.config.machine import StorageSettings

    with pytest.raises(InputError, match="hf://OWNER/NAME, oci://"):
        target_of("ftp://x/y", Credentials(), StorageSettings(), tmp_path)
