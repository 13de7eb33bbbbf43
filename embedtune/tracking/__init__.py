"""Experiment tracking by name: TensorBoard, MLflow, Weights & Biases."""
