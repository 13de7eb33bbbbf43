"""Stage 1: documents in, chunks with structure, near-duplicate groups and split membership out."""
