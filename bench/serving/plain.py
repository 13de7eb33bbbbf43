"""sentence-transformers behind a plain FastAPI, the usual first attempt: one process, one model, one lock."""

import argparse
import threading

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Texts(BaseModel):
    """The body of a request."""

    texts: list[str]


class Embeddings(BaseModel):
    """The body of the answer."""

    embeddings: list[list[float]]


def create_app(model: SentenceTransformer) -> FastAPI:
    app = FastAPI()
    lock = threading.Lock()

    @app.post("/embed")
    def embed(request: Texts) -> Embeddings:  # not async: FastAPI runs it in its thread pool
        with lock:
            vectors = model.encode(request.texts, normalize_embeddings=True)
        return Embeddings(embeddings=vectors.tolist())

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    loaded = SentenceTransformer(options.model, device="cpu")
    uvicorn.run(create_app(loaded), host="127.0.0.1", port=options.port, log_level="warning")
