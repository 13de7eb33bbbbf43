"""What all stages share: configuration, artifacts and records, encoders, retrieval. It imports no stage."""
