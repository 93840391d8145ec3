"""The embedded motion planner: Pinocchio, Coal, OMPL and toppra, no other process."""
