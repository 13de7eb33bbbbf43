"""The stage ingest as a KFP component."""
