"""The stages as components of Kubeflow Pipelines; body.py and inputs.py contain code that their bodies share."""
