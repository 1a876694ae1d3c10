"""What a sample is made of: one folder per modality, each with the same files."""
