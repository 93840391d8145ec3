"""Viewpoints from the CAD: what each pose would see of the part, and the fewest poses that see all of it."""
