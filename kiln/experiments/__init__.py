"""Series of experiments: the search for better params."""
