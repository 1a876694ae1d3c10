"""The models: a file per family, their registry, and the trained model as files."""
