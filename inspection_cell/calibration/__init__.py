"""Calibration: what a camera's lens does, and where the camera stands or how it sits on the tool."""
