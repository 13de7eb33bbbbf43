"""The outcome of a run as a KFP component."""
