"""The three lines that the card shows, run as they are on the pushed folder, give the contract's vectors."""

import shutil

import numpy as np
import pytest

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.progress import SilentProgress
from embedtune.push.contents import gather
from embedtune.push.loading import how_to_load
from embedtune.report.card_metadata import CardFacts

QUERY, PASSAGE = "which oil does the press need?", "Press > Oil. The press needs oil of grade 7."
EMBED = {
    "sentence-transformers": lambda names: (
        names["model"].encode_query([QUERY])[0],
        names["model"].encode_document([PASSAGE])[0],
    ),
    "LangChain": lambda names: (
        names["embeddings"].embed_query(QUERY),
        names["embeddings"].embed_documents([PASSAGE])[0],
    ),
    "LlamaIndex": lambda names: (
        names["embedding"].get_query_embedding(QUERY),
        names["embedding"].get_text_embedding(PASSAGE),
    ),
}


@pytest.mark.parametrize("library", EMBED)
def test_three_lines_load_the_folder_and_give_the_vectors_of_the_contract(library, work, tmp_path):
    contents = gather(work, CardFacts(), str(tmp_path / "model"), tmp_path)
    for name, path in contents.files.items():
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "model" / name)
    code = how_to_load(contents.contract, str(tmp_path / "model"))[library]
    assert len(code.splitlines()) == 3
    assert code in (tmp_path / "model/README.md").read_text()
    names: dict[str, object] = {}
    exec(code, names)
    query, passage = EMBED[library](names)

    encoder = TorchEncoder(work / "model", contents.contract, RuntimeSettings(device="cpu"))
    np.testing.assert_allclose(query, encoder.encode_queries([QUERY], SilentProgress())[0], atol=1e-6)
    np.testing.assert_allclose(passage, encoder.encode_passages([PASSAGE], SilentProgress())[0], atol=1e-6)
    assert (
        abs(np.dot(query, encoder.encode_passages([QUERY], SilentProgress())[0])) < 0.9999
    )  # the prefixes make a difference
