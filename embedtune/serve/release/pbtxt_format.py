"""Triton's model configuration as typed records, rendered in the text format of its protobuf."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, auto
from typing import Any


class DataType(Enum):
    """Type of a tensor's elements."""

    TYPE_STRING = auto()
    TYPE_INT32 = auto()
    TYPE_INT64 = auto()
    TYPE_FP32 = auto()


class Kind(Enum):
    """Device an instance runs on; AUTO: the GPUs, or the CPU if there are none."""

    KIND_CPU = auto()
    KIND_GPU = auto()
    KIND_AUTO = auto()


@dataclass(frozen=True)
class ModelInput:
    """One input tensor; `dims` leaves out the batch if the model batches."""

    name: str
    data_type: DataType
    dims: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class ModelOutput:
    """One output tensor."""

    name: str
    data_type: DataType
    dims: tuple[int, ...]


@dataclass(frozen=True)
class InstanceGroup:
    """Copies of a model that run side by side."""

    count: int
    kind: Kind


@dataclass(frozen=True)
class QueuePolicy:
    """The handling of waiting requests; more than `max_queue_size` are refused.

    A request may set a shorter time than the default, after which it is dropped.
    """

    default_timeout_microseconds: int
    allow_timeout_override: bool
    max_queue_size: int


@dataclass(frozen=True)
class DynamicBatching:
    """The rules for merging requests into one batch."""

    max_queue_delay_microseconds: int
    default_queue_policy: QueuePolicy


@dataclass(frozen=True)
class WarmupInput:
    """One tensor of a warm-up request; its values are a file in the model's folder `warmup`."""

    data_type: DataType
    dims: tuple[int, ...]
    input_data_file: str


@dataclass(frozen=True)
class Warmup:
    """A request that each instance answers before it counts as ready."""

    name: str
    batch_size: int
    inputs: Mapping[str, WarmupInput]


@dataclass(frozen=True)
class Parameter:
    """One value that the model reads at startup."""

    string_value: str


@dataclass(frozen=True)
class ResponseCache:
    """The option to answer identical requests from the cache."""

    enable: bool


@dataclass(frozen=True)
class Specific:
    """Version numbers."""

    versions: tuple[int, ...]


@dataclass(frozen=True)
class VersionPolicy:
    """The versions to serve."""

    specific: Specific


@dataclass(frozen=True)
class ModelConfig:
    """One config.pbtxt. Fields are named as in Triton's model_config.proto."""

    name: str
    backend: str
    max_batch_size: int
    input: tuple[ModelInput, ...]
    output: tuple[ModelOutput, ...]
    instance_group: tuple[InstanceGroup, ...]
    version_policy: VersionPolicy = field(default_factory=lambda: VersionPolicy(Specific((1,))))
    dynamic_batching: DynamicBatching | None = None
    model_warmup: tuple[Warmup, ...] = ()
    response_cache: ResponseCache | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def render(self) -> str:
        """Return the text of config.pbtxt."""
        return "\n".join(_lines(self)) + "\n"


def _lines(record: Any) -> list[str]:
    lines = []
    for entry in fields(record):
        value = getattr(record, entry.name)
        # proto3: false and empty values are the default and can be left out.
        if value is None or value is False or value in ((), {}):
            continue
        lines += _field(entry.name, value)
    return lines


def _field(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in _block(name, _entry(key, item))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(item, int) for item in value):
            return [f"{name}: {list(value)}"]
        return [line for item in value for line in _block(name, _lines(item))]
    if is_dataclass(value):
        return _block(name, _lines(value))
    return [f"{name}: {_scalar(value)}"]


def _entry(key: str, value: Any) -> list[str]:
    return [f"key: {_scalar(key)}", *_block("value", _lines(value))]


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"{name} {{", *(f"  {line}" for line in lines), "}"]


def _scalar(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    # JSON's escapes are valid in the text format, except \u; names and numbers here do not need it.
    return json.dumps(value) if isinstance(value, str) else str(value)
