"""Saliency, the mask that is selected by it, and what is told of a mask."""
