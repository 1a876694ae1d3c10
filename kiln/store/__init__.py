"""The one dataset format in which stages hand samples to each other."""
