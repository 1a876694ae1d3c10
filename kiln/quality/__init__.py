"""Quality of samples of any modality: findings, label errors, corrections, splits."""
