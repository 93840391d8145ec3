"""Is each component there, and is it the right one: judged in the place where the CAD says it must appear."""
