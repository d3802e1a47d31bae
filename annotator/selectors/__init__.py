"""Questions to the database: they read and never write."""
