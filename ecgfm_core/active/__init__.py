"""Choosing what to re-annotate: scores, cross-fitted probabilities, selection, and label errors made on purpose."""
