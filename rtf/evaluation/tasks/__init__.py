"""One file or folder a task: the question it asks, its scores, its figure.

A task is a function from `rtf.evaluation.run.Inputs` to `Evaluated`, with its settings as keywords, and one
file in conf/task names it. Nothing else has to know it: its tables are printed, and a report shows its
records.
"""
