"""Reads a directory that `custom-bert export --format onnx` wrote, and computes with it. It needs
onnxruntime, tokenizers and numpy, and no torch."""
