"""embedtune: from a folder of documents to a tuned, honestly evaluated embedding model."""

__version__ = "0.1.0"
