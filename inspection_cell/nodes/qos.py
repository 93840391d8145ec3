"""Quality of service of each kind of topic, in one place so that both ends agree."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _reliable(depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    return QoSProfile(
        depth=depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=durability,
    )


# Evidence about a part: nothing may be dropped; the depth is more than one part ever sends. Transient local, because
# DDS makes two ends known to each other one by one: a node that was just started publishes before all have met it.
EVIDENCE = _reliable(500, DurabilityPolicy.TRANSIENT_LOCAL)
# A plan and an alignment, and what the PLC wants to know of earlier parts.
LATCHED = _reliable(60, DurabilityPolicy.TRANSIENT_LOCAL)
STATE = _reliable(1, DurabilityPolicy.TRANSIENT_LOCAL)
EVENTS = _reliable(200)
HEARTBEATS = _reliable(10)
# Pictures for people: the newest, or none.
PICTURES = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
