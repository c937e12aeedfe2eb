"""Weighted sums of losses, as functions of the optimised pixels alone."""
