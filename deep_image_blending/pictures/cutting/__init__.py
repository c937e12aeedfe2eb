"""An object's outline: cutting it out of a picture, tightening a loose mask, alpha and foreground colours."""
