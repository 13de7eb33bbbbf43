"""The stage generate as a KFP component."""
