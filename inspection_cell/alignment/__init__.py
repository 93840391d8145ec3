"""Where the part really is in a view: found from a known prior by the edges of its CAD model, and judged."""
