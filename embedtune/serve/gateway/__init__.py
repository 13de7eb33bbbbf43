"""The gateway next to Triton: it serves `/v1/embeddings`, so that every OpenAI client works."""
