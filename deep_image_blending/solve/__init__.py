"""The loop, L-BFGS and its preconditioner; Poisson's equation, the edge-stopping membrane and their multigrid."""
