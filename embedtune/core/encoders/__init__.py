"""Encoders: one protocol, and its implementations in PyTorch, ONNX Runtime, Triton and over HTTP."""
