"""The stages as components of Kubeflow Pipelines; body.py and inputs.py contain what their bodies share."""
