"""How the embedded backbone was trained: its data, its beginning, and the descent to VGG-19's features."""
