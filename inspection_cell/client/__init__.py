"""A small Python client of the cell's services, for scripts and tests."""
