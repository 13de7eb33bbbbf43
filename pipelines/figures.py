"""The figures of a run's outcome, read as the UI reads them: KFP's API does not have them.

They are in ML Metadata, which the UI's server passes on as gRPC-web, for which Python has no client library: a
request and its answer are one message each, in frames, as
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md describes them.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from components.outcome_figures import VERDICTS
from pipelines.server import KubeflowError, Server

SERVICE = "ml_metadata.MetadataStoreService"
RUN_CONTEXT = "system.PipelineRun"  # the type of the context that KFP makes for each run, named by the run's id
# The parts of ml_metadata's messages that are read here:
# https://github.com/google/ml-metadata/blob/master/ml_metadata/proto/metadata_store.proto
# Its maps are written as what they are on the wire, repeated pairs.
MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "ContextRequest": {"type_name": (1, "STRING"), "context_name": (2, "STRING")},
    "Context": {"id": (1, "INT64")},
    "ContextResponse": {"context": (1, "Context")},
    "ArtifactsRequest": {"context_id": (1, "INT64")},
    "Value": {"int_value": (1, "INT64"), "double_value": (2, "DOUBLE")},
    "Pair": {"key": (1, "STRING"), "value": (2, "Value")},
    "Artifact": {"id": (1, "INT64"), "custom_properties": (5, "*Pair")},
    "ArtifactsResponse": {"artifacts": (1, "*Artifact")},
}
GRPC_WEB = {"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}
DATA_FRAME, TRAILER_FRAME = 0, 0x80


def outcome_of(server: Server, run_id: str) -> dict[str, float] | None:
    """Return the figures that the task `outcome` of a run has stored; None: none yet, or the UI is not known."""
    if not server.ui:
        return None
    request = _message("ContextRequest", type_name=RUN_CONTEXT, context_name=run_id)
    context = _call(server, "GetContextByTypeAndName", request, "ContextResponse").context
    if not context.id:
        return None
    found = _call(
        server, "GetArtifactsByContext", _message("ArtifactsRequest", context_id=context.id), "ArtifactsResponse"
    )
    for artifact in found.artifacts:
        figures = {
            pair.key: pair.value.double_value or float(pair.value.int_value) for pair in artifact.custom_properties
        }
        if "verdict" in figures and "deployed" in figures:
            return figures
    return None


def verdict(figures: Mapping[str, float]) -> str:
    """Return a verdict in words."""
    return next((word.value for word, number in VERDICTS.items() if number == round(figures["verdict"])), "?")


def ndcg(figures: Mapping[str, float], system: str) -> float | None:
    """Return a system's nDCG@10 on the deciding set; None if it was not measured."""
    value = figures.get(f"ndcg_at_10_{system}", math.nan)
    return None if math.isnan(value) else value


@cache
def _classes() -> Mapping[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="embedtune/part_of_ml_metadata.proto", package="ml_metadata")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            scalar = getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{kind}", None)
            added = message.field.add(name=field, number=number, label=3 if kind.startswith("*") else 1)
            if scalar is None:
                added.type, added.type_name = added.TYPE_MESSAGE, f".ml_metadata.{kind.removeprefix('*')}"
            else:
                added.type = scalar
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ml_metadata.{name}"))
        for name in MESSAGES
    }


def _message(name: str, **fields: object) -> Any:
    return _classes()[name](**fields)


def _call(server: Server, method: str, request: Any, response: str) -> Any:
    # Behind Kubeflow's dashboard, the UI is below /pipeline and the metadata next to it.
    url = f"{server.ui.removesuffix('/pipeline')}/{SERVICE}/{method}"
    body = request.SerializeToString()
    answer = server.post(url, bytes([DATA_FRAME]) + len(body).to_bytes(4, "big") + body, GRPC_WEB)
    message = _message(response)
    for frame, content in _frames(answer):
        if frame == DATA_FRAME:
            message.MergeFromString(content)
        elif frame == TRAILER_FRAME and b"grpc-status:0" not in content.replace(b" ", b""):
            said = content.decode(errors="replace").strip()
            raise KubeflowError("ML Metadata refused a request", status=200, got=said)
    return message


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 5 <= len(data):
        end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        yield data[at], data[at + 5 : end]
        at = end
