"""Pictures before and after the mathematics."""
