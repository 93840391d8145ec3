"""The cell's devices: cameras, light, gripper, scale, signals; a Protocol each, and a module for every backend."""
