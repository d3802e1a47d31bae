"""The web side: rows, rules, API and pages. Loads no torch."""
