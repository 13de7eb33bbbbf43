"""The stages as one Kubeflow pipeline, compiled for clusters with and without GPUs."""
