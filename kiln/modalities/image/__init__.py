"""The modality ``image``: decoding, checks, copies, features, views, normaliser, corruptions."""
