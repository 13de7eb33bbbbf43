"""Shared by all stages: configuration, artifacts and records, encoders, retrieval. It imports no stage."""
