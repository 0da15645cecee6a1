"""A page on this machine to look at an archive: a map of fingerprints, light curves, neighbours, marks.

Notable:
- the page only reads; the one file that it changes is the user's file of marks, named at the start
- its scripts come from `static/` alone, and nothing on it is fetched from elsewhere
- the map is fitted once and kept beside the archive: what is added later is placed, what is there stays
"""
