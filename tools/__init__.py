"""Programs that make things for the project and are no part of it."""
