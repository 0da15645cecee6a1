"""From runs to a report: what differs between them, what they measured, as tables, figures and one page.

settings.py    what a run is, from its configuration
compare.py     which settings differ, which runs may be compared, and which are seeds of one another
scores.py      what is measured, and its mean and interval over seeds
published.py   the published figures, with what they hold for
layouts.py, notes.py   the tables, and what stands under them
charts.py, curves.py, style.py   the figures
early.py, gains.py, maps.py   classes from the first detections; what one gains on another; maps side by side
formats.py     tables as CSV and LaTeX, everything as one HTML page
content.py     what is shown of a data set
build.py       the folder

Rows and columns follow from the configurations of the runs: no list of runs is kept anywhere.
"""
