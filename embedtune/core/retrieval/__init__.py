"""Retrieval: data sets, exact search, BM25, metrics and near-duplicates."""
