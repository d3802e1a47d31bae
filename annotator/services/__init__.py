"""Writes: every rule of the house is here."""
