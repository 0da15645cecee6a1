"""One file a task, from `Inputs` to `Evaluated`: the question it asks, its scores, its figure."""
