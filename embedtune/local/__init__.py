"""Runs the stages on one machine, without KFP, with the tools for that; the counterpart of pipelines/."""
