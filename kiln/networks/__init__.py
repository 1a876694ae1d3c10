"""The zoo's networks, one file a family; ``stages.lib.models`` builds them by name."""
