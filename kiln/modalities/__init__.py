"""What a sample is made of: one folder per modality, each with the same files; ``base`` holds the protocol."""
