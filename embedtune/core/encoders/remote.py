"""Live services as encoders: Triton over gRPC, and anything that speaks OpenAI's embeddings over HTTP.

Prefixes are the server's: it is told whether a text is a query or a passage.
"""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Literal, TypeVar

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
REQUEST_TEXTS = 32  # texts in one request, if the server takes so many
IN_FLIGHT = 4  # requests at a time: the server is busy while vectors travel
TIMEOUT_S = 120.0
RETRIES = 6  # of a request that a busy or restarting server turned away: about 15 s
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
NO_KEY = "none"  # the openai client wants some key, also for servers that want none
PROBES = ("pressure", "a sentence of some words, so that more than one token counts " * 4)


def open_endpoint(url: str, contract: EncoderContract, model_name: str, api_key: str | None) -> Encoder:
    """Return an encoder of a live service.

    Args:
        url: grpc://host:port for Triton; http(s)://host:port for whatever speaks OpenAI's embeddings.
        contract: What the vectors must be like; prefixes are the server's.
        model_name: The endpoint model.
        api_key: The gateway's, or None.

    Raises:
        ConfigError: The address is neither.
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
        contract: What the vectors must be like.
        model_name: The endpoint model.
    """

    def __init__(self, address: str, contract: EncoderContract, model_name: str) -> None:
        from tritonclient import grpc

        self._address = address
        self._contract = contract
        self._model_name = model_name
        self._client = grpc.InferenceServerClient(address)

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the contract and of what is served now."""
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
        """Texts that the server takes in one request."""
        reply = self._patiently(lambda: self._client.get_model_config(self._model_name, client_timeout=TIMEOUT_S))
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
        reply = self._patiently(
            lambda: self._client.infer(name, inputs, outputs=outputs, client_timeout=TIMEOUT_S)
        )
        vectors: Vectors = reply.as_numpy("EMBEDDING")
        return vectors

    def _patiently(self, call: Callable[[], Reply]) -> Reply:
        """Call Triton until it answers: a full queue, a start, a stop and a broken connection pass."""
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
        contract: What the vectors must be like.
        model_name: The model that is asked for.
        api_key: The key, or None for servers that want none.
    """

    def __init__(self, url: str, contract: EncoderContract, model_name: str, api_key: str | None) -> None:
        import openai

        base_url = url.rstrip("/").removesuffix("/v1") + "/v1"
        self._url = url
        self._contract = contract
        self._model_name = model_name
        # The client waits and asks again by itself where the server is busy (429, Retry-After) or starts (5xx).
        self._client = openai.OpenAI(
            base_url=base_url, api_key=api_key or NO_KEY, max_retries=RETRIES, timeout=TIMEOUT_S
        )

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the contract and of what is served now."""
        return _probed(self, self._contract)

    def encode_queries(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode queries; the server adds the prefix."""
        return _encode(self._ask, texts, "query", self._contract, REQUEST_TEXTS, progress)

    def encode_passages(self, texts: Sequence[str], progress: Progress) -> Vectors:
        """Encode passages; the server adds the prefix."""
        return _encode(self._ask, texts, "passage", self._contract, REQUEST_TEXTS, progress)

    def _ask(self, texts: list[str], input_type: InputType) -> Vectors:
        import openai

        extra: dict[str, Any] = {"input_type": input_type}
        for text in texts:
            _utf8(text)
        try:
            reply = self._client.embeddings.create(model=self._model_name, input=texts, extra_body=extra)
        except openai.APIStatusError as error:
            body = error.body if isinstance(error.body, dict) else {}
            raise _refused(self._url, f"{error.status_code}: {body.get('message') or error.message}") from error
        except openai.APIConnectionError as error:
            raise _silent(self._url, error.__cause__ or error) from error
        except (openai.APIError, ValueError) as error:  # ValueError: what came with status 200 is no reply at all
            raise _refused(self._url, f"no embeddings: {error}") from error
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
    """Send texts in requests of at most `most`, several at a time, and check what comes back."""
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
        raise EndpointError("the endpoint gives vectors of another size", got=vectors.shape, expected=shape)
    norms = np.linalg.norm(vectors, axis=1)
    if not np.all(np.abs(norms - 1) < 1e-3):  # also where a number is not finite
        raise EndpointError(
            "the endpoint gives vectors that have not unit length",
            got=f"lengths {norms.min():.4f} to {norms.max():.4f}",
            expected="1",
            fix="serve a release of `embedtune deploy`; products of such vectors are no similarities",
        )
    return vectors


def _probed(encoder: Encoder, contract: EncoderContract) -> str:
    """Return a hash of what the service answers: no service says which weights it serves, but its vectors do."""
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
            "a text cannot be sent: it holds half a character (a lone surrogate)",
            got=ascii(text[max(0, error.start - 20) : error.end + 20]),
            fix="mend the text",
        ) from error


def _refused(server: str, words: object) -> EndpointError:
    return EndpointError(f"{server} refuses a request", got=words)


def _silent(server: str, words: object) -> EndpointError:
    return EndpointError(f"{server} does not answer", got=words, fix="see that it runs and is ready")


def _wait(attempt: int, reason: str) -> None:
    seconds = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt) * random.uniform(0.5, 1.0)
    log.debug("Triton is busy (%s); asking again in %.1f s", reason, seconds)
    time.sleep(seconds)
