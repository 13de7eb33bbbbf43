"""Stage 1: turn documents into chunks, with structure, near-duplicate groups and splits."""
