"""Stage 5: fine-tune the bi-encoder and merge it with the base model."""
