"""The stage export as a KFP component."""
