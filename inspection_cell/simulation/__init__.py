"""The simulated cell: the demo part with its defects, what the cameras see of it, and the physics around it."""
