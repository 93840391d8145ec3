"""Motion: what the arm moves among, planning it, and moving a simulated arm."""
