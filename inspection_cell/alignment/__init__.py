"""Where the part really is in a view: found from a known prior by the edges of its CAD model, and judged."""

from inspection_cell.alignment.edges import PartEdges
from inspection_cell.alignment.judge import AlignmentLimits
from inspection_cell.alignment.one_view import AlignmentEstimate, align

__all__ = ["AlignmentEstimate", "AlignmentLimits", "PartEdges", "align"]
