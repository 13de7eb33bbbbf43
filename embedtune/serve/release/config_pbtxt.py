"""The `config.pbtxt` of a release's endpoint model, of its encoder where Triton runs it, and of the live model."""

from pathlib import Path

from embedtune.core.config.export import Target
from embedtune.core.config.serve import ServeSettings
from embedtune.core.encoders.onnx import INPUTS, OUTPUT
from embedtune.serve.release.pbtxt_format import (
    DataType,
    DynamicBatching,
    InstanceGroup,
    Kind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    Parameter,
    QueuePolicy,
    ResponseCache,
    Warmup,
    WarmupInput,
)

BACKENDS: dict[Target, str] = {"python-cpu": "python", "onnxruntime": "onnxruntime", "tensorrt": "tensorrt"}
ENCODER_KINDS: dict[Target, Kind] = {"onnxruntime": Kind.KIND_AUTO, "tensorrt": Kind.KIND_GPU}
# The fixed cost of an encoder call, counted in tokens. Measured on a CPU (MiniLM): 2 ms
# or 8 tokens in fp32, 1 ms or 9 tokens in int8; padding is expensive there.
CALL_COSTS: dict[Target, int] = {"python-cpu": 8, "onnxruntime": 512, "tensorrt": 4096}
WARMUP_FILE = "text"
LONGEST_WAIT_US = 600_000_000  # in Triton's queue; the deadlines of requests are shorter
ENDPOINT_INPUT = (
    ModelInput("TEXT", DataType.TYPE_STRING, (1,)),
    ModelInput("INPUT_TYPE", DataType.TYPE_STRING, (1,), optional=True),
    ModelInput("DIMENSIONS", DataType.TYPE_INT32, (1,), optional=True),
    ModelInput("TRUNCATE", DataType.TYPE_STRING, (1,), optional=True),
)
ENDPOINT_OUTPUT = (
    ModelOutput("EMBEDDING", DataType.TYPE_FP32, (-1,)),
    ModelOutput("TOKENS", DataType.TYPE_INT32, (1,)),
)
WARMUP_TOKENS = 16


def encoder_name(name: str) -> str:
    """Return the name of the model that the endpoint model of this name calls."""
    return f"{name}_encoder"


def endpoint_config(
    target: Target, settings: ServeSettings, name: str, min_cosine: float, cache: bool = False, gpus: int = 1
) -> ModelConfig:
    """Return the configuration of the endpoint model: strings in, vectors out.

    The shape of its inputs does not depend on the length of the texts, so that Triton can merge any requests.

    Args:
        target: Runtime of the encoder.
        settings: Batching and limits.
        name: Name of the model in its repository.
        min_cosine: Lowest cosine similarity with its reference vectors that each of its processes may show.
        cache: Whether the server has a response cache for it.
        gpus: How many the encoder runs on, if not in the same process: Triton starts `settings.instances` on each.
    """
    inside = target == "python-cpu"
    parameters = {
        "max_text_bytes": str(settings.max_text_bytes),
        "on_long_text": settings.on_long_text,
        "call_cost": str(CALL_COSTS[target]),
        "instances": str(settings.instances),
    }
    parameters |= {"min_cosine": repr(min_cosine)} if inside else {"encoder": encoder_name(name)}
    return ModelConfig(
        name=name,
        backend="python",
        max_batch_size=settings.max_batch_size,
        input=ENDPOINT_INPUT,
        output=ENDPOINT_OUTPUT,
        # One more instance than compute at a time: it tokenises meanwhile (triton_model.py lets them take turns).
        # Also, if no instance is free, Triton's batcher can delay a request by half a second after an answer.
        instance_group=(InstanceGroup(settings.instances * (1 if inside else max(1, gpus)) + 1, Kind.KIND_CPU),),
        dynamic_batching=DynamicBatching(
            settings.max_queue_delay_us, QueuePolicy(LONGEST_WAIT_US, True, settings.max_queue_size)
        ),
        model_warmup=_endpoint_warmup() if inside else (),
        response_cache=ResponseCache(enable=True) if cache else None,
        parameters={key: Parameter(value) for key, value in parameters.items()},
    )


def live_config(settings: ServeSettings, serving: Path, gpus: int = 1) -> ModelConfig:
    """Return the configuration of the model that passes requests on to the live release.

    Args:
        settings: Those of the live release; its model name is the one that clients of Triton's own ports know.
        serving: The file that says which release is live at any moment.
        gpus: How many encoders run on.
    """
    return ModelConfig(
        name=settings.model_name,
        backend="python",
        max_batch_size=settings.max_batch_size,
        input=ENDPOINT_INPUT,
        output=(*ENDPOINT_OUTPUT, ModelOutput("RELEASE", DataType.TYPE_STRING, (1,))),
        # Each waits for the answers to what it passed on, and one is free.
        instance_group=(InstanceGroup(max(1, gpus) + 1, Kind.KIND_CPU),),
        dynamic_batching=DynamicBatching(0, QueuePolicy(LONGEST_WAIT_US, True, settings.max_queue_size)),
        parameters={"serving": Parameter(str(serving.resolve()))},
    )


def encoder_config(target: Target, settings: ServeSettings, name: str) -> ModelConfig:
    """Return the configuration of the encoder as a separate model.

    It does not batch: the endpoint model passes whole batches.

    Args:
        target: onnxruntime or tensorrt.
        settings: How many copies, and the largest batch, for warm-up.
        name: Name of the endpoint model that calls it.
    """
    integer, (ids, mask, dimensions) = DataType.TYPE_INT64, INPUTS
    return ModelConfig(
        name=encoder_name(name),
        backend=BACKENDS[target],
        max_batch_size=0,
        input=(
            ModelInput(ids, integer, (-1, -1)),
            ModelInput(mask, integer, (-1, -1)),
            ModelInput(dimensions, integer, (-1,)),
        ),
        output=(ModelOutput(OUTPUT, DataType.TYPE_FP32, (-1, -1)),),
        instance_group=(InstanceGroup(settings.instances, ENCODER_KINDS[target]),),
        model_warmup=tuple(_encoder_warmup(rows) for rows in warmup_rows(settings)),
    )


def warmup_rows(settings: ServeSettings) -> list[int]:
    """Return the batch sizes that the encoder is warmed up with."""
    return sorted({1, settings.max_batch_size})


def _endpoint_warmup() -> tuple[Warmup, ...]:
    return (Warmup("one_text", 1, {"TEXT": WarmupInput(DataType.TYPE_STRING, (1,), WARMUP_FILE)}),)


def _encoder_warmup(rows: int) -> Warmup:
    shapes = zip(INPUTS, ((rows, WARMUP_TOKENS), (rows, WARMUP_TOKENS), (rows,)), strict=True)
    inputs = {name: WarmupInput(DataType.TYPE_INT64, dims, f"{name}_{rows}") for name, dims in shapes}
    return Warmup(f"{rows}_texts", 0, inputs)
