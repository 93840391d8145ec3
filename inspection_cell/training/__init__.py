"""What needs PyTorch: networks trained from procedural images, and their export to ONNX."""
