"""The stages as Kubeflow Pipelines components; what their thin bodies share stands in body.py and inputs.py."""
