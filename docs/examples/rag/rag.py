"""Answers questions from your documents: embedtune embeds, Qdrant searches, any OpenAI-compatible LLM answers.

    python rag.py index work/dataset                    # every passage, with the live release
    python rag.py index work/dataset --candidate        # in addition, with the release that is to be live next
    python rag.py search "the kiln stays cold"
    python rag.py answer "the kiln stays cold" --llm http://127.0.0.1:8081/v1 --llm-model NAME

Vectors of two releases cannot be compared. So each release has a collection of its own, and a question is searched
in the collection of the release that embedded it: when another release goes live, the application follows at once,
and never compares a new query with old vectors. A collection gets its alias, the release's id, when it is
complete: a half-indexed one is never searched.
"""

import argparse
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from openai import OpenAI
from qdrant_client import QdrantClient
from qdrant_client.models import CreateAlias, CreateAliasOperation, Distance, PointStruct, VectorParams

BATCH = 64  # passages per request
PROMPT = "Answer from these passages only; say so if they do not answer.\n\n{passages}\n\nQuestion: {question}"


class Embedder:
    """The gateway of embedtune: `embedtune` is the live release, `embedtune@candidate` the next one.

    Args:
        url: Address of the gateway, such as http://127.0.0.1:8080/v1.
        key: A key of the gateway; any text if it has none.
    """

    def __init__(self, url: str, key: str) -> None:
        self._client = OpenAI(base_url=url, api_key=key)

    def embed(self, texts: Sequence[str], model: str) -> tuple[list[list[float]], str]:
        """Return the vectors and the release that computed them."""
        reply = self._client.embeddings.create(model=model, input=list(texts))
        return [one.embedding for one in reply.data], reply.model.partition("@")[2]


def passages(dataset: Path) -> Iterator[list[dict[str, str]]]:
    """Yield the corpus of a BEIR directory in batches."""
    batch = []
    with (dataset / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            batch.append(json.loads(line))
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def index(dataset: Path, embedder: Embedder, store: QdrantClient, *, candidate: bool = False) -> str:
    """Embed every passage into the collection of the release; return the release.

    The first reply says which release that is, and the other requests name it, so that a switch mixes nothing.
    Run it again after an interruption: points with the same id are replaced.
    """
    pin = "@candidate" if candidate else ""
    release = collection = ""
    for batch in passages(dataset):
        texts = [f"{one['title']}\n{one['text']}" if one.get("title") else one["text"] for one in batch]
        vectors, release = embedder.embed(texts, f"embedtune-passage{pin}")
        pin, collection = f"@{release}", f"passages-{release}"
        if not store.collection_exists(collection):
            size = VectorParams(size=len(vectors[0]), distance=Distance.COSINE)
            store.create_collection(collection, vectors_config=size)
        points = [
            PointStruct(id=str(uuid.uuid5(uuid.NAMESPACE_URL, one["_id"])), vector=vector, payload=one)
            for one, vector in zip(batch, vectors, strict=True)
        ]
        store.upsert(collection, points)
    complete = CreateAlias(collection_name=collection, alias_name=release)
    store.update_collection_aliases([CreateAliasOperation(create_alias=complete)])
    return release


def search(question: str, embedder: Embedder, store: QdrantClient, limit: int = 5) -> list[dict[str, str]]:
    """Return the passages nearest to a question, the nearest first."""
    (vector,), release = embedder.embed([question], "embedtune-query")
    if not store.collection_exists(release):
        raise SystemExit(
            f"release {release} is live, and no passages are indexed for it: run `rag.py index` first"
        )
    found = store.query_points(release, query=vector, limit=limit).points
    return [{**(point.payload or {}), "score": f"{point.score:.3f}"} for point in found]


def answer(question: str, found: Sequence[dict[str, str]], llm: OpenAI, model: str) -> str:
    """Let an LLM answer from the passages."""
    text = "\n\n".join(f"[{number}] {one['text']}" for number, one in enumerate(found, 1))
    content = PROMPT.format(passages=text, question=question)
    reply = llm.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    return reply.choices[0].message.content or ""


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default="http://127.0.0.1:8080/v1", help="address of embedtune's gateway")
    parser.add_argument("--key", default="none", help="a key of the gateway, if it has keys")
    parser.add_argument("--store", default="qdrant", help="folder of the vectors, or the URL of a Qdrant server")
    commands = parser.add_subparsers(dest="command", required=True)
    indexing = commands.add_parser("index", help="embed all passages")
    indexing.add_argument("dataset", type=Path, help="the run's dataset, or another BEIR directory")
    indexing.add_argument("--candidate", action="store_true", help="with the release that is to be live next")
    for name in ("search", "answer"):
        asking = commands.add_parser(name, help=f"{name} a question")
        asking.add_argument("question")
    asking.add_argument("--llm", required=True, help="address of an OpenAI-compatible LLM")
    asking.add_argument("--llm-model", required=True)
    options = parser.parse_args()
    embedder = Embedder(options.gateway, options.key)
    remote = options.store.startswith(("http://", "https://"))
    store = QdrantClient(url=options.store) if remote else QdrantClient(path=options.store)
    if options.command == "index":
        print(f"indexed with release {index(options.dataset, embedder, store, candidate=options.candidate)}")
        return
    found = search(options.question, embedder, store)
    if options.command == "search":
        for one in found:
            print(f"{one['score']}  {one['text'][:200]}\n")
    else:
        llm = OpenAI(
            base_url=options.llm, api_key=os.environ.get("OPENAI_API_KEY", "none")
        )  # a local one needs none
        print(answer(options.question, found, llm, options.llm_model))


if __name__ == "__main__":
    main()
