"""Thin ROS 2 nodes: parameters, topics, services, lifecycle. No algorithm lives here."""
