"""Replay: rounds of re-reading on a clean labelled set with errors made on purpose, strategy against strategy."""
