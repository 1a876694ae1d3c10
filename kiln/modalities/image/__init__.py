"""Images: decoding, checks, copies, features, views, normaliser, corruptions."""
