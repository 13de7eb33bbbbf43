"""The stage split as a KFP component."""
