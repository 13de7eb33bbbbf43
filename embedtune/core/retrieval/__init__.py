"""Retrieval: datasets, exact search, BM25, metrics and near-duplicates."""
