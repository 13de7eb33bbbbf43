"""Running the stages on one machine, without KFP, and the tools for it. The twin of pipelines/."""
