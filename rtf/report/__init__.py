"""From runs to a report: what differs between them, what they measured, as tables, figures and one page.

read.py        runs, from folders or from Weights & Biases
settings.py    what a run is, from its configuration
compare.py     which settings differ, which runs may be compared, and which are seeds of one another
scores.py      what is measured, and its mean and interval over seeds
published.py   the published figures, with what they hold for
tables.py, charts.py   the tables and figures
page.py        the folder
"""
