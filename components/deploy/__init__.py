"""The stage deploy as a KFP component."""
