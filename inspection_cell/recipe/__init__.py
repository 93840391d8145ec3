"""Recipes and the cell's configuration: what the engineer writes, checked where it enters."""
