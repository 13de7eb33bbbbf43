"""Encoders: one protocol and its implementations with PyTorch, ONNX Runtime, Triton and HTTP."""
