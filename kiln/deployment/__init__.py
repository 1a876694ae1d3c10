"""A trained model in use: predict, measure."""
