"""What the commands share: paths as people write them, errors a person can read, the cluster file."""
