"""Downstream tasks: public sets, heads on a frozen backbone and their rivals, metrics. Only learning needs torch."""
