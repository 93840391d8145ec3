"""Training pictures of components from their CAD: rendered at random, put before backgrounds, spoiled as cameras do."""
