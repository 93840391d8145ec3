"""CAD knowledge: assemblies with named components, their rendering and their visibility in a view."""
