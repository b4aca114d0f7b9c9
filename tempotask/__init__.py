"""TempoTask."""
