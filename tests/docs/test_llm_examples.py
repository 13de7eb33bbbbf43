"""Every example in docs/llm.md is a configuration that embedtune accepts."""

import pytest
import yaml

from embedtune.core.config.config import Config
from embedtune.core.config.load import load_config
from tests.support.markdown import ROOT

TEXT = (ROOT / "docs" / "llm.md").read_text(encoding="utf-8")
EXAMPLES = [block.partition("```")[0] for block in TEXT.split("```yaml\n")[1:]]


def test_there_is_an_example_for_each_server() -> None:
    for name in ("llama.cpp", "vLLM", "Ollama", "LM Studio", "OpenAI", "Claude", "Mistral", "OpenRouter", "Azure"):
        assert f"**{name}" in TEXT, name
    assert len(EXAMPLES) == 10


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_accepted(example: str) -> None:
    settings = yaml.safe_load(example)
    config = Config.model_validate({**load_config("minilm").model_dump(), **settings})
    assert config.generate.llm.base_url
