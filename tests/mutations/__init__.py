"""A small file in COCO format with each of its fields replaced in turn by wrong values.

``python -m tests.mutations`` runs all of them and prints how each kind of run has ended.
"""
