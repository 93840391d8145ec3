"""Anomaly detection from good parts alone: PaDiM features, Gaussians, scores, limits and model packages."""
