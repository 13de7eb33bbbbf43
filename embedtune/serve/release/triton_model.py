"""The endpoint model: texts to vectors inside Triton's Python backend.

It is copied into a model repository as model.py, next to triton_runners.py and triton_proof.py. It imports only
those, Triton's module (untyped, hence `Any`), numpy and tokenizers, no pydantic.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers import Encoding, Tokenizer

# Relative: in a model repository there is no package embedtune.
from .triton_proof import require_reference
from .triton_runners import Floats, Ints, Run, model_runner, onnx_runner, usable_cpus

Bytes = Sequence[bytes]
Sizes = Sequence[int]
TYPES = ("query", "passage")
CUTS = ("NONE", "END", "START")


class InvalidError(Exception):
    """A request that cannot be answered; the message names the text and the reason."""


@dataclass(frozen=True)
class Limits:
    """The limits on a text."""

    prefixes: dict[str, str]  # of a text, by input type
    dimensions: tuple[int, ...]  # vector sizes that are offered, the full one first
    max_length: int  # in tokens, as the encoder reads
    max_text_bytes: int  # in UTF-8
    cut: str  # of CUTS: what happens to long texts where a request does not say


@dataclass(frozen=True)
class Request:
    """A valid request: one value per text."""

    texts: list[str]  # with their prefixes
    dimensions: list[int]  # the size of its vector
    cuts: list[str]  # what happens to it if it is too long
    starts: list[int]  # where it begins, behind its prefix


def read_request(limits: Limits, texts: Bytes, types: Bytes = (), sizes: Sizes = (), cuts: Bytes = ()) -> Request:
    """Return a request whose inputs are as Triton passes them: one value per text, or none for the default.

    Raises:
        InvalidError: A text is not allowed; the message names the first one and the reason.
    """
    prefixed, starts = [], []
    for number, raw in enumerate(texts):
        kind = "passage" if not types else _one_of(TYPES, f"INPUT_TYPE[{number}]", types[number])
        prefixed.append(limits.prefixes[kind] + _read_text(number, raw, limits.max_text_bytes))
        starts.append(len(limits.prefixes[kind]))
    dimensions = [limits.dimensions[0]] * len(prefixed) if not sizes else [int(size) for size in sizes]
    offered = ", ".join(map(str, limits.dimensions))
    for number, size in enumerate(dimensions):
        if size not in limits.dimensions:
            raise InvalidError(f"DIMENSIONS[{number}] is {size}; this model offers {offered}")
    named = [_one_of(CUTS, f"TRUNCATE[{number}]", data) for number, data in enumerate(cuts)]
    return Request(prefixed, dimensions, named or [limits.cut] * len(texts), starts)


def _read_text(number: int, data: bytes, longest: int) -> str:
    if not data:
        raise InvalidError(f"TEXT[{number}] is empty")
    if len(data) > longest:
        raise InvalidError(f"TEXT[{number}] has {len(data)} bytes; the limit is {longest}")
    if b"\0" in data:
        raise InvalidError(f"TEXT[{number}] contains a null byte")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"TEXT[{number}] is not valid UTF-8 (byte {error.start}: {error.reason})") from error


def _one_of(values: tuple[str, ...], name: str, data: bytes) -> str:
    value = data.decode(errors="replace")
    if value not in values:
        raise InvalidError(f"{name} is {value[:40]!r}; expected {' or '.join(values)}")
    return value


def check_lengths(ids: Sequence[Sizes], limits: Limits) -> InvalidError | None:
    """Return why texts are refused."""
    for number, tokens in enumerate(map(len, ids)):
        if not tokens:
            return InvalidError(f"TEXT[{number}] has no token")
        if tokens > (limit := limits.max_length):
            return InvalidError(f"TEXT[{number}] has {tokens} tokens with its prefix; the limit is {limit}")
    return None


def groups_of_similar_length(lengths: Sequence[int], call_cost: int) -> list[list[int]]:
    """Return positions in groups, each to be padded to its longest text; the shortest texts first.

    A text joins the previous group as long as padding that group to its length costs less than a separate call.

    Args:
        lengths: Tokens of each text.
        call_cost: What a call of the encoder costs in addition to its tokens, counted in tokens.
    """
    groups: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if not groups or (lengths[place] - longest) * len(groups[-1]) > call_cost:
            groups.append([])
        groups[-1].append(place)
        longest = lengths[place]
    return groups


def end_of(encoding: Encoding, start: int, longest: int) -> list[int]:
    """Return the ids of a text without as much of its beginning as is too long.

    Args:
        encoding: The whole text.
        start: Where it begins, behind its prefix, which stays as the special tokens do.
        longest: How many ids may remain.
    """
    surplus, kept = len(encoding.ids) - longest, []
    for own, special, (_, end) in zip(encoding.ids, encoding.special_tokens_mask, encoding.offsets, strict=True):
        if surplus > 0 and not special and end > start:
            surplus -= 1
        else:
            kept.append(own)
    return kept


def padded(texts: Sequence[Sizes], pad_id: int) -> tuple[Ints, Ints]:
    """Return ids and attention mask of texts, padded on the right to the longest."""
    shape = (len(texts), max(map(len, texts)))
    ids, mask = np.full(shape, pad_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, own in enumerate(texts):
        ids[row, : len(own)], mask[row, : len(own)] = own, 1
    return ids, mask


@dataclass(frozen=True)
class Answer:
    """The answer to one request: one row per text, as wide as the largest dimension, and the token counts."""

    vectors: Floats
    tokens: list[int]


@dataclass(frozen=True)
class Endpoint:
    """Answers the requests of one batch together."""

    limits: Limits
    tokenizers: dict[str, Tokenizer]  # by what happens to long texts; without padding
    pad_id: int  # fills up short rows
    call_cost: int  # see `groups_of_similar_length`
    run: Run

    def answer(self, requests: Sequence[Request]) -> list[Answer | InvalidError]:
        """Return the answer to each request, or why it is refused; all texts are encoded together."""
        ids = self._tokenize(requests)
        sizes = [size for request in requests for size in request.dimensions]
        ends = np.cumsum([len(request.texts) for request in requests]).tolist()
        spans = [slice(end - len(request.texts), end) for end, request in zip(ends, requests, strict=True)]
        refused = [check_lengths(ids[span], self.limits) for span in spans]
        asked = [span for span, error in zip(spans, refused, strict=True) if error is None]
        wanted = [place for span in asked for place in range(span.start, span.stop)]
        vectors = self._encode(ids, sizes, wanted)
        return [
            error or Answer(vectors[span, : max(sizes[span])], [len(own) for own in ids[span]])
            for span, error in zip(spans, refused, strict=True)
        ]

    def embed(self, texts: Bytes, types: Bytes) -> Floats:
        """Return the vectors of texts, each of which is answered.

        Raises:
            InvalidError: A text is refused.
        """
        (answer,) = self.answer([read_request(self.limits, texts, types)])
        if isinstance(answer, InvalidError):
            raise answer
        return answer.vectors

    def _tokenize(self, requests: Sequence[Request]) -> list[list[int]]:
        rows = [row for own in requests for row in zip(own.texts, own.cuts, own.starts, strict=True)]
        found: dict[str, Iterator[list[int]]] = {}
        for cut, tokenizer in self.tokenizers.items():
            texts = [text for text, own, _ in rows if own == cut]
            found[cut] = (encoding.ids for encoding in tokenizer.encode_batch_fast(texts))
        whole, longest = self.tokenizers["NONE"], self.limits.max_length
        found["START"] = (end_of(whole.encode(text), at, longest) for text, own, at in rows if own == "START")
        return [next(found[cut]) for _, cut, _ in rows]

    def _encode(self, texts: Sequence[Sizes], sizes: Sizes, wanted: Sizes) -> Floats:
        """Return one row per text; those that are not wanted stay 0."""
        vectors = np.zeros((len(texts), self.limits.dimensions[0]), dtype=np.float32)
        for group in groups_of_similar_length([len(texts[place]) for place in wanted], self.call_cost):
            places = [wanted[member] for member in group]
            ids, mask = padded([texts[place] for place in places], self.pad_id)
            vectors[places] = self.run(ids, mask, np.array([sizes[place] for place in places], dtype=np.int64))
        return vectors


class TritonPythonModel:
    """The class that Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load tokenizer, contract (written by EncoderContract.save, which is not at hand here) and encoder."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        version = Path(args["model_repository"]) / args["model_version"]
        contract = json.loads((version / "embedtune.json").read_text())["contract"]
        limits = Limits(
            prefixes={"query": contract["query_prefix"], "passage": contract["passage_prefix"]},
            dimensions=tuple(contract["dimensions"]),
            max_length=contract["max_length"],
            max_text_bytes=int(parameters["max_text_bytes"]),
            cut="END" if parameters["on_long_text"] == "truncate" else "NONE",
        )
        tokenizers, pad_id = load_tokenizers(version / "tokenizer.json")
        if encoder := parameters.get("encoder"):
            run = model_runner(encoder)
        else:
            # Triton starts one more instance than these copies: the first and the last take turns.
            copies, number = int(parameters["instances"]), int(args["model_instance_name"].rpartition("_")[2])
            run = onnx_runner(version / "model.onnx", max(1, usable_cpus() // copies), number % copies)
        self.endpoint = Endpoint(limits, tokenizers, pad_id, int(parameters["call_cost"]), run)
        if not encoder:  # a model of Triton cannot be called yet; it runs in the server's own process
            limit, batch = float(parameters["min_cosine"]), config["max_batch_size"]
            require_reference(version / "proof.npz", limit, batch, self.endpoint.embed)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests that Triton merged into one batch."""
        understood = [self._read(request) for request in requests]
        answers = iter(self.endpoint.answer([item for item in understood if isinstance(item, Request)]))
        return [_response(item if isinstance(item, InvalidError) else next(answers)) for item in understood]

    def _read(self, request: Any) -> Request | InvalidError:
        texts, *others = (_values(request, name) for name in ("TEXT", "INPUT_TYPE", "DIMENSIONS", "TRUNCATE"))
        if not texts:  # Triton does not check the other inputs of a model that has optional ones
            return InvalidError("TEXT is missing")
        try:
            return read_request(self.endpoint.limits, texts, *others)
        except InvalidError as error:
            return error


def load_tokenizers(path: Path) -> tuple[dict[str, Tokenizer], int]:
    """Return the tokenizer without padding, as it truncates and whole, and the id to pad with."""
    cutting, whole = Tokenizer.from_file(str(path)), Tokenizer.from_file(str(path))
    pad_id = int((cutting.padding or {})["pad_id"])  # an engine's tokenizer has padding settings
    cutting.no_padding()
    whole.no_padding()
    whole.no_truncation()
    return {"END": cutting, "NONE": whole}, pad_id


def _values(request: Any, name: str) -> list[Any]:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return [] if tensor is None else tensor.as_numpy().ravel().tolist()


def _response(answer: Answer | InvalidError) -> Any:
    if isinstance(answer, InvalidError):
        error = pb_utils.TritonError(f"INVALID: {answer}", pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    tokens = np.array(answer.tokens, dtype=np.int32).reshape(-1, 1)
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor("EMBEDDING", answer.vectors), pb_utils.Tensor("TOKENS", tokens)]
    )
