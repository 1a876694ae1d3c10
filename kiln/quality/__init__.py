"""What holds for any sample: findings, label errors, corrections, splits."""
