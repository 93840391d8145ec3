"""The way of one part through the cell: what happens in which order, and what becomes of it when something fails."""
