"""Experiment tracking by name: TensorBoard, MLflow, Weights & Biases.

The tools' own clients are called from our callback of the trainer (`embedtune/train/watch.py`). The callbacks that
transformers has for the same tools open one record per process, so that a training which was interrupted appears
twice, record local paths and every trainer argument, and close the record before there is a verdict.
"""
