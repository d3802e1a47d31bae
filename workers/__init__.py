"""Thin Celery shells that hand rows to the science and results back to the rules."""
