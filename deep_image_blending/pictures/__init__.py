"""Pictures: reading and writing, colour, and the scene that places an object on a target."""
