"""The optimisation loop, L-BFGS, its preconditioner, and the Poisson solver."""
