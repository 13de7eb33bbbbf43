"""What `embedtune init` writes and says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.config.load import load_config, preset_names, preset_text
from embedtune.core.errors import InputError
from embedtune.core.progress import SilentProgress
from embedtune.local.first_config import Answers, look_at, next_steps, with_answers

ENDPOINT = Answers("http://127.0.0.1:8080/v1", "qwen")


def loaded(text: str, folder: Path):
    path = folder / "embedtune.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("answers", [Answers(), ENDPOINT], ids=["open", "answered"])
def test_every_preset_is_filled_in_and_nothing_else_changes(preset: str, answers: Answers, tmp_path: Path) -> None:
    text = preset_text(preset)
    config = loaded(with_answers(text, answers), tmp_path)
    llm = config.generate.llm.model_copy(update={"base_url": None, "model": ""})
    generate = config.generate.model_copy(update={"llm": llm})
    assert config.model_copy(update={"generate": generate}) == load_config(preset)
    assert (config.generate.llm.base_url, config.generate.llm.model) == (answers.llm_url, answers.llm_model or "")
    comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert set(comments) <= set((tmp_path / "embedtune.yaml").read_text().splitlines())


@given(model=st.text(min_size=1), domain=st.text(min_size=1))
def test_any_text_is_written_as_it_is(tmp_path_factory: pytest.TempPathFactory, model: str, domain: str) -> None:
    answers = Answers("http://127.0.0.1:8080/v1", model, domain=domain)
    config = loaded(with_answers(preset_text("minilm"), answers), tmp_path_factory.mktemp("config"))
    assert (config.generate.llm.model, config.generate.domain) == (model, domain)


def test_the_documents_are_counted_by_format(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.html", "d.bin"):
        (tmp_path / name).write_text("text")
    assert look_at(tmp_path, SilentProgress()) == "3 documents: 2 .md, 1 .html; 1 other files are not read"
    with pytest.raises(InputError, match="does not exist"):
        look_at(tmp_path / "docs", SilentProgress())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file in this folder can be read"):
        look_at(tmp_path / "empty", SilentProgress())


def test_the_next_steps_end_with_a_command_that_can_be_pasted() -> None:
    config = Path("our config.yaml")
    assert next_steps("our docs", config, ENDPOINT, {}) == ["embedtune run 'our docs' --config 'our config.yaml'"]
    fill, command = next_steps(None, Path("c.yaml"), Answers(), {})
    assert "generate.llm in c.yaml" in fill and command == "embedtune run DOCS --config c.yaml"
    remote = Answers("https://llm.example/v1", "m", api_key_env="OUR_KEY")
    assert next_steps("d", config, remote, {})[0].startswith("export OUR_KEY=")
    assert len(next_steps("d", config, remote, {"OUR_KEY": "k"})) == 1
