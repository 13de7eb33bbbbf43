"""One machine: the runner of the stages, and the tools around it. The twin of pipelines/."""
