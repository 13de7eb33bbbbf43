"""Stage 7: export the model as an ONNX or TensorRT engine and prove that its vectors are the same."""
