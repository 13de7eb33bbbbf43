"""The gateway next to Triton: serves `/v1/embeddings`, so that every OpenAI client works."""
