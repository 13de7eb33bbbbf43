"""The report of a run and the completed model card: rendered from artifacts, never an artifact itself."""
