"""Scores, intervals, calibration, slices, comparisons and explanations."""
