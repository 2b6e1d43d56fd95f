"""Measures any Stable Diffusion checkpoint, whoever made it; knows nothing of `erase`.

Write `from eval.x import y`: `import eval` would shadow the builtin.
"""
