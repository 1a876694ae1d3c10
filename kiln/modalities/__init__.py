"""The modalities of a sample's parts, one folder each with the same files; ``base`` holds the protocol."""
