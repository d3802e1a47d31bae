"""Admin pages: the loop, datasets, training, checkpoints, rounds, releases, people, audit trail."""
