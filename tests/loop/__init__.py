"""The closed loop as people walk it in browsers, on a system of its own processes; for tests/e2e and tests/real."""
