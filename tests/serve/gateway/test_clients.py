"""The clients people have, unchanged, against the gateway: their vectors are Triton's own.

Those in docs/serving.md are run by test_documented_clients.py.
"""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support.triton_endpoint import embed
from tests.support.triton_server import Triton

DOCUMENTS = ["Reset the press with the green key.", "The kiln is cleaned every Monday."]
QUESTION = "the press is stuck"
LONG = "press " * 200  # the tiny model reads 64 tokens


@pytest.fixture(scope="module")
def passages(module_direct: InferenceServerClient) -> np.ndarray:
    return embed(module_direct, DOCUMENTS, ["passage"] * 2)


@pytest.fixture(scope="module")
def question(module_direct: InferenceServerClient) -> np.ndarray:
    return embed(module_direct, [QUESTION], ["query"])[0]


@pytest.fixture(scope="module")
def module_direct(triton: Triton) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(f"127.0.0.1:{triton.grpc_port}")
    yield client
    client.close()


def same(given: object, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(given, dtype=np.float32), expected, atol=1e-6)


class TestLangChainNvidia:
    @pytest.fixture(autouse=True)
    def nim(self, gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
        nvidia = pytest.importorskip("langchain_nvidia_ai_endpoints")
        monkeypatch.delenv("NVIDIA_API_KEY", raising=False)
        self.client = nvidia.NVIDIAEmbeddings(base_url=f"{gateway}/v1", model="embedtune", max_batch_size=1000)

    def test_queries_and_passages_get_their_prefixes(self, passages: np.ndarray, question: np.ndarray) -> None:
        same(self.client.embed_documents(DOCUMENTS), passages)
        same(self.client.embed_query(QUESTION), question)

    def test_a_thousand_passages_are_one_call(self) -> None:
        vectors = self.client.embed_documents([f"valve {number}" for number in range(1000)])
        assert np.shape(vectors) == (1000, 32)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_truncate_none_refuses_what_end_cuts(self, gateway: str) -> None:
        with pytest.raises(Exception, match=r"has 20[0-9] tokens with its prefix; the limit is 64"):
            self.client.embed_documents([LONG])
        cutting = type(self.client)(base_url=f"{gateway}/v1", model="embedtune", truncate="END", dimensions=16)
        assert np.shape(cutting.embed_documents([LONG])) == (1, 16)

    def test_the_model_is_found_by_itself(self, gateway: str) -> None:
        with pytest.warns(UserWarning, match="Default model is set as: embedtune"):
            assert type(self.client)(base_url=f"{gateway}/v1").model == "embedtune"


class TestLlamaIndexNvidia:
    def test_passages_and_queries(self, gateway: str, passages: np.ndarray) -> None:
        nvidia = pytest.importorskip("llama_index.embeddings.nvidia")
        client = nvidia.NVIDIAEmbedding(base_url=f"{gateway}/v1", model="embedtune", api_key="none")
        same(client.get_text_embedding_batch(DOCUMENTS), passages)
        # This client sends input_type "passage" for queries too, unless it is used asynchronously.
        same(client.get_query_embedding(DOCUMENTS[0]), passages[0])

    async def _query(self, client: object) -> object:
        return await client.aget_query_embedding(QUESTION)  # type: ignore[attr-defined]

    def test_asynchronous_queries(self, gateway: str, question: np.ndarray) -> None:
        import asyncio

        nvidia = pytest.importorskip("llama_index.embeddings.nvidia")
        client = nvidia.NVIDIAEmbedding(base_url=f"{gateway}/v1", model="embedtune", api_key="none")
        same(asyncio.run(self._query(client)), question)


def test_haystack(
    gateway: str, passages: np.ndarray, question: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    haystack = pytest.importorskip("haystack")
    embedders = pytest.importorskip("haystack.components.embedders")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    documents = embedders.OpenAIDocumentEmbedder(
        api_base_url=f"{gateway}/v1", model="embedtune-passage", progress_bar=False
    )
    found = documents.run([haystack.Document(content=text) for text in DOCUMENTS])["documents"]
    same([document.embedding for document in found], passages)
    queries = embedders.OpenAITextEmbedder(api_base_url=f"{gateway}/v1", model="embedtune-query")
    same(queries.run(QUESTION)["embedding"], question)


@pytest.mark.slow  # its import alone takes long
def test_litellm(
    gateway: str, passages: np.ndarray, question: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise it downloads a list of prices
    litellm = pytest.importorskip("litellm")
    given = {"api_base": f"{gateway}/v1", "api_key": "none"}
    reply = litellm.embedding(model="openai/embedtune-passage", input=DOCUMENTS, **given)
    same([item["embedding"] for item in reply.data], passages)
    reply = litellm.embedding(model="nvidia_nim/embedtune", input=[QUESTION], input_type="query", **given)
    same(reply.data[0]["embedding"], question)


class TestHuggingFaceHub:
    @pytest.fixture(autouse=True)
    def hub(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        self.client = pytest.importorskip("huggingface_hub").InferenceClient

    def test_feature_extraction(self, gateway: str, passages: np.ndarray, question: np.ndarray) -> None:
        for address in (gateway, f"{gateway}/embed"):
            client = self.client(address)
            same(client.feature_extraction(DOCUMENTS), passages)
            same(client.feature_extraction(QUESTION, prompt_name="query")[0], question)
            given = {"normalize": True, "truncate": True, "truncation_direction": "right", "dimensions": 16}
            assert client.feature_extraction(LONG, **given).shape == (1, 16)

    def test_endpoint_info(self, gateway: str) -> None:
        info = self.client(gateway, provider="hf-inference").get_endpoint_info()
        assert (info["model_id"], info["max_client_batch_size"]) == ("embedtune", 2048)

    def test_refusals_have_teis_form(self, gateway: str) -> None:
        for given, message in (
            ({"inputs": LONG, "truncate": False}, "input[0] has 20"),
            ({"inputs": []}, "inputs is an empty list"),
            ({"inputs": "a", "normalize": False}, "normalize: vectors always have unit length"),
            ({"inputs": "a", "prompt_name": "title"}, "prompt_name: must be document or passage or query"),
            ({}, "inputs: is missing"),
        ):
            reply = httpx.post(f"{gateway}/embed", json=given)
            assert (reply.status_code, reply.json()["error_type"]) == (400, "validation")
            assert reply.json()["error"].startswith(message)


def test_nims_own_routes(gateway: str) -> None:
    ready = httpx.get(f"{gateway}/v1/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"object": "health.response", "message": "ready", "ready": True},
    )
    assert httpx.get(f"{gateway}/v1/health/live").status_code == 200
    assert httpx.get(f"{gateway}/v1/metadata").json()["modelInfo"][0]["shortName"] == "embedtune"


class TestOpenAI:
    def test_null_is_unset_and_unknown_fields_are_ignored(self, gateway: str, passages: np.ndarray) -> None:
        request = {
            "model": "embedtune",
            "input": DOCUMENTS,
            "user": "u",
            "modality": "text",
            "service": {"a": [1]},
        }
        nothing = dict.fromkeys(("dimensions", "encoding_format", "input_type", "truncate", "embedding_type"))
        reply = httpx.post(f"{gateway}/v1/embeddings", json=request | nothing)
        same([item["embedding"] for item in reply.json()["data"]], passages)

    def test_two_thousand_and_forty_eight_texts_are_one_request(self, gateway: str) -> None:
        client = pytest.importorskip("openai").OpenAI(base_url=f"{gateway}/v1", api_key="none")
        texts = [f"valve {number}" for number in range(2048)]
        reply = client.embeddings.create(model="embedtune", input=texts)
        assert [item.index for item in reply.data] == list(range(2048))
        single = client.embeddings.create(model="embedtune", input=texts[2047])
        same(reply.data[2047].embedding, np.float32(single.data[0].embedding))

    def test_smaller_types_are_those_of_the_floats(self, gateway: str, passages: np.ndarray) -> None:
        import base64

        def ask(**fields: str) -> list[object]:
            request = {"model": "embedtune", "input": DOCUMENTS, **fields}
            reply = httpx.post(f"{gateway}/v1/embeddings", json=request)
            return [item["embedding"] for item in reply.json()["data"]]

        int8 = np.rint(passages * 127).astype(int).tolist()
        assert ask(embedding_type="int8") == ask(encoding_format="int8") == int8
        assert ask(embedding_type="uint8") == (np.array(int8) + 128).tolist()
        bits = np.packbits(passages > 0, axis=1)
        assert ask(embedding_type="ubinary") == bits.tolist()
        assert ask(embedding_type="binary") == (bits.astype(int) - 128).tolist()
        packed = ask(embedding_type="ubinary", encoding_format="base64")
        assert [list(base64.b64decode(text)) for text in packed] == bits.tolist()


def test_tritonclient_over_http(triton: Triton, question: np.ndarray) -> None:
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(f"127.0.0.1:{triton.http_port}")
    inputs = []
    for name, value in (("TEXT", QUESTION), ("INPUT_TYPE", "query")):
        tensor = http.InferInput(name, [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[value.encode()]], dtype=object))
        inputs.append(tensor)
    same(client.infer("embedtune", inputs).as_numpy("EMBEDDING")[0], question)
    assert client.is_model_ready("embedtune")
    client.close()
