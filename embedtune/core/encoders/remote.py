"""Live services as encoders: Triton over gRPC, and anything that speaks OpenAI's embeddings API over HTTP.

The server adds the prefixes; each request says whether its texts are queries or passages.
"""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ConfigError, EndpointError
from embedtune.core.progress import Progress, SilentProgress

log = logging.getLogger(__name__)
Reply = TypeVar("Reply")
InputType = Literal["query", "passage"]
Ask = Callable[[list[str], InputType], Vectors]
REQUEST_TEXTS = 32  # texts per request, if the server accepts that many
IN_FLIGHT = 4  # concurrent requests, so that the server is busy while vectors are transferred
TIMEOUT_S = 120.0
RETRIES = 6  # attempts per request that a busy or restarting server rejects: about 15 s in all
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
NO_KEY = "none"  # the openai client requires a key even if the server does not
PROBES = ("pressure", "a sentence of some words, so that more than one token counts " * 4)


def open_endpoint(url: str, contract: EncoderContract, model_name: str, api_key: str | None) -> Encoder:
    """Return an encoder that uses a live service.

    Args:
        url: grpc://host:port for Triton; http(s)://host:port for anything that speaks OpenAI's embeddings API.
        contract: The size of the vectors; the server adds its prefixes.
        model_name: Name of the endpoint model.
        api_key: API key of the gateway, or None.

    Raises:
        ConfigError: The address has neither form.
    """
    scheme, _, address = url.partition("://")
    if scheme == "grpc" and address:
        return TritonEncoder(address, contract, model_name)
    if scheme in ("http", "https") and address:
        return EndpointEncoder(url, contract, model_name, api_key)
    raise ConfigError(
        "not the address of a live service", got=url, expected="grpc://host:port or http(s)://host:port"
    )


class TritonEncoder:
    """The endpoint model of a release behind Triton's gRPC.

    Args:
        address: host:port.
        contract: The size of the vectors.
        model_name: Name of the endpoint model.
    """

    def __init__(self, address: str, contract: EncoderContract, model_name: str) -> None:
        from tritonclient import grpc

        self._address = address
        self._contract = contract
        self._model_name = model_name
        self._client = grpc.InferenceServerClient(address)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the contract and the model that is served now."""
        return _probed(self, self._contract)

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries; the server adds the prefix."""
        return self._encode(texts, "query", progress)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode passages; the server adds the prefix."""
        return self._encode(texts, "passage", progress)

    def _encode(self, texts: Sequence[str], input_type: InputType, progress: Progress) -> Vectors:
        return _encode(self._ask, texts, input_type, self._contract, min(REQUEST_TEXTS, self._most), progress)

    @cached_property
    def _most(self) -> int:
        """The number of texts that the server accepts in one request."""
        reply = self._retry(lambda: self._client.get_model_config(self._model_name, client_timeout=TIMEOUT_S))
        return int(reply.config.max_batch_size)

    def _ask(self, texts: list[str], input_type: InputType) -> Vectors:
        from tritonclient import grpc

        inputs = []
        for name, values in (("TEXT", texts), ("INPUT_TYPE", [input_type] * len(texts))):
            tensor = grpc.InferInput(name, [len(texts), 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[_utf8(value)] for value in values], dtype=np.object_))
            inputs.append(tensor)
        outputs = [grpc.InferRequestedOutput("EMBEDDING")]
        name = self._model_name
        reply = self._retry(lambda: self._client.infer(name, inputs, outputs=outputs, client_timeout=TIMEOUT_S))
        vectors: Vectors = reply.as_numpy("EMBEDDING")
        return vectors

    def _retry(self, call: Callable[[], Reply]) -> Reply:
        """Call Triton, and retry while it is unavailable: queues empty, servers restart, connections recover."""
        from tritonclient.utils import InferenceServerException

        attempt = 0
        while True:
            try:
                return call()
            except InferenceServerException as error:
                if "UNAVAILABLE" not in str(error.status()):
                    raise _refused(f"Triton at {self._address}", error.message()) from error
                if attempt == RETRIES:
                    raise _silent(f"Triton at {self._address}", error.message()) from error
                _wait(attempt, str(error.message()))
            attempt += 1


class EndpointEncoder:
    """An OpenAI-compatible embeddings endpoint, such as embedtune's gateway.

    Args:
        url: http(s)://host:port, with or without /v1.
        contract: The size of the vectors.
        model_name: Name of the model to request.
        api_key: API key, or None for servers that require none.
    """

    def __init__(self, url: str, contract: EncoderContract, model_name: str, api_key: str | None) -> None:
        import openai

        base_url = url.rstrip("/").removesuffix("/v1") + "/v1"
        self._url = url
        self._contract = contract
        self._model_name = model_name
        # The client itself waits and retries if the server is busy (429, Retry-After) or starting (5xx).
        self._client = openai.OpenAI(
            base_url=base_url, api_key=api_key or NO_KEY, max_retries=RETRIES, timeout=TIMEOUT_S
        )

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the contract and the model that is served now."""
        return _probed(self, self._contract)

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries; the server adds the prefix."""
        return _encode(self._ask, texts, "query", self._contract, REQUEST_TEXTS, progress)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode passages; the server adds the prefix."""
        return _encode(self._ask, texts, "passage", self._contract, REQUEST_TEXTS, progress)

    def _ask(self, texts: list[str], input_type: InputType) -> Vectors:
        import openai

        for text in texts:
            _utf8(text)
        try:
            reply = self._client.embeddings.create(
                model=self._model_name, input=texts, extra_body={"input_type": input_type}
            )
        except openai.APIStatusError as error:
            body = error.body if isinstance(error.body, dict) else {}  # the error object of OpenAI's format
            raise _refused(self._url, f"{error.status_code}: {body.get('message') or error.message}") from error
        except openai.APIConnectionError as error:
            raise _silent(self._url, error.__cause__ or error) from error
        except (openai.APIError, ValueError) as error:  # ValueError: status 200, but the body is no reply
            raise _refused(self._url, f"the reply has no embeddings: {error}") from error
        places = [item.index for item in reply.data]
        if sorted(places) != list(range(len(texts))):
            raise _refused(self._url, f"vectors of the texts {places[:5]} … for {len(texts)} texts")
        vectors = np.array([item.embedding for item in reply.data], dtype=np.float32)
        return vectors[np.argsort(places)]


def _encode(
    ask: Ask,
    texts: Sequence[str],
    input_type: InputType,
    contract: EncoderContract,
    most: int,
    progress: Progress,
) -> Vectors:
    """Send texts in concurrent requests of at most `most` texts, and check the vectors that are returned."""
    out = np.empty((len(texts), contract.dimensions[0]), dtype=np.float32)
    parts = [slice(start, start + most) for start in range(0, len(texts), most)]
    units = {"query": "queries", "passage": "passages"}[input_type]
    with progress.task("embed", len(texts), units) as task, ThreadPoolExecutor(IN_FLIGHT) as pool:
        for part, vectors in zip(parts, pool.map(lambda at: ask(list(texts[at]), input_type), parts), strict=True):
            out[part] = _checked(vectors, out[part].shape)
            task.advance(len(vectors))
    return out


def _checked(vectors: Vectors, shape: tuple[int, ...]) -> Vectors:
    if vectors.shape != shape:
        raise EndpointError("the endpoint returns vectors of the wrong size", got=vectors.shape, expected=shape)
    norms = np.linalg.norm(vectors, axis=1)
    if not np.all(np.abs(norms - 1) < 1e-3):  # this also catches numbers that are not finite
        raise EndpointError(
            "the endpoint returns vectors that are not unit length",
            got=f"lengths {norms.min():.4f} to {norms.max():.4f}",
            expected="1",
            fix="serve a release made by `embedtune deploy`; inner products of such vectors are not similarities",
        )
    return vectors


def _probed(encoder: Encoder, contract: EncoderContract) -> str:
    """Return a hash of the vectors of two texts: they identify the weights, which a service does not name."""
    digest = hashlib.sha256(contract.hash.encode())
    for text in PROBES:
        for vectors in (
            encoder.encode_queries([text], SilentProgress()),
            encoder.encode_passages([text], SilentProgress()),
        ):
            digest.update(vectors.tobytes())
    return digest.hexdigest()[:16]


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EndpointError(
            "a text cannot be sent: it contains a lone surrogate, half of a character",
            got=ascii(text[max(0, error.start - 20) : error.end + 20]),
            fix="correct the text",
        ) from error


def _refused(server: str, reason: object) -> EndpointError:
    return EndpointError(f"{server} refused a request", got=reason)


def _silent(server: str, reason: object) -> EndpointError:
    return EndpointError(f"{server} does not answer", got=reason, fix="check that it is running and ready")


def _wait(attempt: int, reason: str) -> None:
    seconds = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt) * random.uniform(0.5, 1.0)
    log.debug("Triton is busy (%s); trying again in %.1f s", reason, seconds)
    time.sleep(seconds)
