"""The encoder as a separate model, which the endpoint model calls inside the server.

Here its backend is Python, since the Triton of nvidia-pytriton has no other; the endpoint model is the same.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from embedtune.core.config.serve import ServeSettings
from embedtune.core.encoders.remote import TritonEncoder
from embedtune.core.progress import SilentProgress
from embedtune.serve.release import config_pbtxt, model_repository
from embedtune.serve.release.build import build_release
from embedtune.serve.release.pbtxt_format import Kind
from embedtune.serve.release.record import Release
from embedtune.serve.triton.installation import Installation
from tests.support.tiny_engine import make_tiny_engine
from tests.support.triton_endpoint import embed
from tests.support.triton_server import Triton, asking, running

STAND_IN = """
from pathlib import Path
import onnxruntime
import triton_python_backend_utils as pb_utils

NAMES = ("input_ids", "attention_mask", "dimensions")

class TritonPythonModel:
    def initialize(self, args):
        path = Path(args["model_repository"]) / "1" / "model.onnx"
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        feeds = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in NAMES}
        if 13 in feeds["dimensions"]:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("out of memory"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("embeddings", self.session.run(None, feeds)[0])])
"""


@pytest.fixture(scope="module")
def served(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("encoder-model")
    engine = make_tiny_engine(folder / "engine", target="onnxruntime", dimensions=(32, 13))
    built = build_release(engine, folder / "releases", ServeSettings(max_batch_size=8, instances=2))
    link = model_repository._link_weights

    def with_stand_in(release: Release, version: Path) -> None:
        link(release, version)
        (version / "model.py").write_text(STAND_IN)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(config_pbtxt.BACKENDS, "onnxruntime", "python")
        patch.setitem(config_pbtxt.ENCODER_KINDS, "onnxruntime", Kind.KIND_CPU)
        patch.setattr(model_repository, "_link_weights", with_stand_in)
        with running(built, installation, folder / "log") as server:
            yield server


@pytest.fixture
def client(served: Triton) -> Iterator[InferenceServerClient]:
    with asking(served) as client:
        yield client


def test_its_vectors_equal_those_of_pytorch(served: Triton) -> None:
    contract = served.release.contract
    encoder = TritonEncoder(f"127.0.0.1:{served.grpc_port}", contract, "embedtune")
    rows = [
        row
        for row in pq.read_table(served.release.path / "reference.parquet").to_pylist()
        if row["kind"] == "query"
    ]
    got = encoder.encode_queries([row["text"] for row in rows], SilentProgress())
    assert (got * np.array([row["vector"] for row in rows])).sum(axis=1).min() > 0.9999


def test_a_failing_encoder_fails_its_requests_and_the_next_ones_are_answered(
    client: InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="the encoder failed: out of memory"):
        embed(client, ["press"], None, [13])
    assert embed(client, ["press"]).shape == (1, 32)
