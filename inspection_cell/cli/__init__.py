"""The `inspection-cell` command."""
