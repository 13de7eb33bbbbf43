"""What all stages share: contracts, configuration, artifacts, encoders, the LLM client. Imports no stage."""
