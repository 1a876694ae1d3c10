"""Texts: all that Kiln knows of strings."""
