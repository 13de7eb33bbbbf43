"""Runs the examples of docs/serving.md against a real gateway and a real Triton."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support.triton_endpoint import embed
from tests.support.triton_server import Triton

PAGE = Path(__file__).resolve().parents[3] / "docs" / "serving.md"
DOCUMENTS = ["Reset the press with the green key.", "The kiln is cleaned every Monday."]
QUESTION = "the press is stuck"


def blocks(language: str) -> dict[str, str]:
    """Return the code blocks of the page in one language, by the heading above them."""
    found, heading, lines = {}, "", None
    for line in PAGE.read_text().splitlines():
        if lines is not None:
            if line == "```":
                found[heading] = "\n".join(lines)
                lines = None
            else:
                lines.append(line)
        elif line == f"```{language}":
            lines = []
        elif match := re.match(r"#+ (.*)", line):
            heading = match[1]
    return found


PYTHON, SHELL = blocks("python"), blocks("sh")


class Example:
    """Runs an example exactly as on the page, except for the ports."""

    def __init__(self, gateway: str, triton: Triton) -> None:
        self._gateway = gateway
        self._triton = triton

    def here(self, code: str) -> str:
        code = code.replace("http://127.0.0.1:8080", self._gateway)
        code = code.replace("127.0.0.1:8001", f"127.0.0.1:{self._triton.grpc_port}")
        assert not re.search(r"127\.0\.0\.1:8\d{3}\b", code)
        return code

    def run(self, heading: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "example"}
        exec(compile(self.here(PYTHON[heading]), f"{PAGE}: {heading}", "exec"), names)
        return names


@pytest.fixture
def example(gateway: str, triton: Triton) -> Example:
    return Example(gateway, triton)


@pytest.fixture
def expected(direct: InferenceServerClient) -> np.ndarray:
    """Scores of the two documents for the question, computed from Triton's own vectors."""
    return embed(direct, DOCUMENTS, ["passage"] * 2) @ embed(direct, [QUESTION], ["query"])[0]


def test_every_example_is_run_here() -> None:
    assert set(PYTHON) == {"openai", "LangChain", "LlamaIndex", "Send requests to Triton"}


def test_openais_client(example: Example, expected: np.ndarray) -> None:
    pytest.importorskip("openai")
    names = example.run("openai")
    np.testing.assert_allclose(names["scores"], expected, atol=1e-6)
    assert names["question"].usage.prompt_tokens > 4


def test_langchains_client_embeds_queries_and_passages_differently(
    example: Example, expected: np.ndarray, direct: InferenceServerClient
) -> None:
    pytest.importorskip("langchain_openai")
    names = example.run("LangChain")
    found = {document.page_content: score for document, score in names["found"]}
    np.testing.assert_allclose([found[text] for text in DOCUMENTS], expected, atol=1e-5)
    gateway = names["Gateway"]()
    np.testing.assert_array_equal(
        np.float32(gateway.embed_query(QUESTION)), embed(direct, [QUESTION], ["query"])[0]
    )
    np.testing.assert_array_equal(
        np.float32(gateway.embed_documents([QUESTION])[0]), embed(direct, [QUESTION], ["passage"])[0]
    )


def test_the_refusal_of_langchains_token_ids_names_the_option_that_avoids_them(gateway: str) -> None:
    langchain, openai = pytest.importorskip("langchain_openai"), pytest.importorskip("openai")
    client = langchain.OpenAIEmbeddings(model="embedtune-passage", base_url=f"{gateway}/v1", api_key="none")
    # Its tokenizer would be downloaded; it turns a text into a list of token ids like this one.
    with pytest.raises(openai.BadRequestError) as error:
        client.client.create(model="embedtune-passage", input=[[1820, 3577, 374, 16178]])
    assert "check_embedding_ctx_length=False" in str(error.value)


def test_llamaindexs_client_embeds_queries_and_passages_differently(
    example: Example, expected: np.ndarray, direct: InferenceServerClient
) -> None:
    pytest.importorskip("llama_index.embeddings.openai")
    names = example.run("LlamaIndex")
    found = {item.node.get_content(): item.score for item in names["found"]}
    np.testing.assert_allclose([found[text] for text in DOCUMENTS], expected, atol=1e-5)
    np.testing.assert_array_equal(
        np.float32(names["queries"].get_query_embedding(QUESTION)), embed(direct, [QUESTION], ["query"])[0]
    )


def test_tritons_grpc_client(example: Example, direct: InferenceServerClient, triton: Triton) -> None:
    assert len([line for line in PYTHON["Send requests to Triton"].splitlines() if line]) <= 10
    names = example.run("Send requests to Triton")
    expected = embed(direct, ["the press is stuck", "how often is the kiln cleaned?"], ["query"] * 2)
    np.testing.assert_array_equal(names["vectors"], expected)
    assert names["release"] == triton.release.id


def test_the_curl_command(example: Example, direct: InferenceServerClient) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = example.here(SHELL["Send requests to the gateway"]).replace('"dimensions": 384', '"dimensions": 16')
    reply = json.loads(subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout)
    given = np.float32(reply["data"][0]["embedding"])
    np.testing.assert_array_equal(given, embed(direct, [QUESTION], ["query"], [16])[0])
