"""The shared types of the cell: plan, view, check result, verdict, camera model, poses. numpy only."""
