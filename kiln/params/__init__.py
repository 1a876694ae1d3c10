"""The schema of params.yaml, and the only place that reads it."""

from kiln.params.schema import *  # noqa: F403
