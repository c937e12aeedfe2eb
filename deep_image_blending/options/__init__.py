"""Every option of a run, declared once; the presets; how an option is spelt.

A loss declares its own weight, in `losses/`, and the object's size, place and edge are declared in
`pictures/placement.py`: `catalogue.py` brings all of them together.
"""
