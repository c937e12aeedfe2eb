"""A run: its directory, loss tables and checkpoints, its plan of memory and time, its execution."""
