"""REST API: parses, calls a service or selector, renders."""
