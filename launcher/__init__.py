"""Everything on one machine: embedded PostgreSQL and Valkey, the process list, the demo."""
