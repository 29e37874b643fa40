"""A server that answers texts over HTTP: requests are joined, computed by one thread, and answered each.

No module here imports torch, so that a directory that ONNX Runtime computes is served without it.
"""
