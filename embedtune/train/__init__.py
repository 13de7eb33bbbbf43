"""Stage 5: fine-tune the biencoder, keep the best checkpoint on dev."""
