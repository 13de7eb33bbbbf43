"""The stage evaluate as a KFP component."""
