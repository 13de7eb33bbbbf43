"""The stage mine as a KFP component."""
