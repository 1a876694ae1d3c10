"""Kiln's library, in rooms named after the steps; docs/architecture.md shows the picture."""
