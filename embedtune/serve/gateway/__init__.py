"""The gateway beside Triton: speaks `/v1/embeddings`, so that every OpenAI client works."""
