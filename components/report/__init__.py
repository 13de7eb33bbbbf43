"""The report as a KFP component, the last task of a run."""
