"""Stage 7: turn the model into an ONNX or TensorRT engine and prove that its vectors are the same."""
