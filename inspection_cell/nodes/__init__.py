"""Thin ROS 2 nodes: parameters, topics, services, lifecycle. No algorithm lives here."""

import os

# Fast DDS's own shared-memory transport can leave the others deaf when a process that used it is killed, and a node
# must be able to die. Nothing large goes over DDS here: frames have their own shared memory, which survives that.
os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
