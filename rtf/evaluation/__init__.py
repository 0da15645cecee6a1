"""What fingerprints are worth: the tasks, their records, and the runner that carries them out."""
