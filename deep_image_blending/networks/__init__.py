"""Feature networks: what they are made of, their weights, and their evaluation on a region."""
