"""What several tests make things with: `from makers.images import noise`. Tests never import each other."""
