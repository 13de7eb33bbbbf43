"""Models of a real Triton are loaded, fail to load, and are unloaded, while the server and the others go on."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from embedtune.core.errors import GateError
from embedtune.serve.release.model_repository import remove_models, write_models
from embedtune.serve.triton.models import Models
from tests.support.triton_server import Triton


def test_a_model_that_cannot_be_loaded_says_why_and_leaves_the_server_and_the_others_as_they_were(
    triton: Triton, tmp_path: Path
) -> None:
    models, repository = Models(triton.server), triton.server.repository
    before = models.embed(triton.model, ["press"], "query", 32)
    names = write_models(triton.release, "broken@1", repository)
    weights = repository / "broken@1" / "1" / "model.onnx"
    weights.unlink()
    weights.write_bytes(b"no model")
    with pytest.raises(GateError, match=r"Triton cannot load(.|\n)*broken@1(.|\n)*model\.onnx"):
        models.load(names)
    assert triton.server.ready()
    np.testing.assert_array_equal(models.embed(triton.model, ["press"], "query", 32), before)
    with pytest.raises(GateError, match="unknown model"):
        models.embed("broken@1", ["press"], "query", 32)
    remove_models("broken@1", repository)
    assert (triton.release.path / "model.onnx").stat().st_size > 100


def test_a_second_release_is_served_next_to_the_first_and_unloaded_again(triton: Triton) -> None:
    models = Models(triton.server)
    names = write_models(triton.release, "second@1", triton.server.repository)
    models.load(names)
    texts = ["press", "kiln alarm", "drum"]
    for kind in ("query", "passage"):
        np.testing.assert_allclose(
            models.embed("second@1", texts, kind, 2), models.embed(triton.model, texts, kind, 32), atol=1e-6
        )
    models.unload(names)
    models.unload(names)  # what is not loaded is not an error
    with pytest.raises(GateError, match="second@1"):
        models.embed("second@1", texts, "query", 32)
    shutil.rmtree(triton.server.repository / "second@1")


def test_the_live_model_refuses_when_no_release_may_answer(triton: Triton) -> None:
    models = Models(triton.server)
    file, text = triton.serving, triton.serving.read_text()
    try:
        file.with_name("draft").write_text(text.replace(f'"live": "{triton.release.id}"', '"live": null'))
        file.with_name("draft").replace(file)
        with pytest.raises(GateError, match="no release is live"):
            models.embed("embedtune", ["press"], "query", 32)
    finally:
        file.with_name("draft").write_text(text)
        file.with_name("draft").replace(file)
    assert models.embed("embedtune", ["press"], "query", 32).shape == (1, 32)
