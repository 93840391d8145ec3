"""The tables of the records: columns are what people search by; the exact values are core types as JSON."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

SCHEMA_VERSION = 1

metadata = MetaData()


def _child(name: str, *columns: Column) -> Table:
    """A table of things that belong to one inspection, in the order they were given."""
    return Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("inspection_id", String, ForeignKey("inspections.inspection_id"), nullable=False, index=True),
        *columns,
    )


schema = Table("schema", metadata, Column("version", Integer, primary_key=True))

inspections = Table(
    "inspections",
    metadata,
    Column("inspection_id", String, primary_key=True),
    Column("request_id", String, nullable=False, unique=True),
    Column("serial", String, nullable=False, index=True),
    Column("recipe", String, nullable=False),
    Column("recipe_hash", String, nullable=False),
    Column("model_hashes", Text, nullable=False),  # JSON list, sorted
    Column("software_version", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("simulated", Integer, nullable=False),
    Column("opened_ns", BigInteger, nullable=False),
    Column("plan", Text, nullable=False),
    Column("step", String, nullable=False),
    Column("disposition", String, nullable=False),
    Column("verdict", String),  # NULL: unfinished
    Column("committed_ns", BigInteger),
    Column("acknowledged_ns", BigInteger),
    Column("part_verdict", Text),
    Column("proposal", Text),
    Index("inspections_by_time", "opened_ns"),
)

views = _child("views", Column("view_id", String, nullable=False), Column("data", Text, nullable=False))
alignments = _child("alignments", Column("grasp", String, nullable=False), Column("data", Text, nullable=False))
weights = _child("weights", Column("mass_kg", Float), Column("data", Text, nullable=False))
events = _child("events", Column("code", Integer, nullable=False), Column("data", Text, nullable=False))
reasons = _child(
    "reasons", Column("code", Integer, nullable=False), Column("subject", String, nullable=False), Column("text", Text)
)
check_results = _child(
    "check_results",
    Column("check_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("score", Float),  # NULL: not finite; the JSON has the exact value
    Column("lateness_s", Float),
    Column("model_hash", String, nullable=False),
    Column("artifact", String, nullable=False),
    Column("artifact_sha256", String, nullable=False),
    Column("data", Text, nullable=False),
)
CHILDREN = (views, alignments, weights, events, reasons, check_results)
