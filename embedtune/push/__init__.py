"""Pushes a tuned model to where other tools load it from: the Hugging Face Hub, an OCI registry, a bucket."""
