"""A robot cell that inspects parts from their CAD model and images of good parts."""

__version__ = "0.1.0"
