"""An archive of fingerprints on LanceDB, searched by likeness, class, time and place.

from rtf.archive import Where, open_archive

archive = open_archive("archive")
archive.add("fingerprints.parquet")
archive.search(object_id="ZTF20aaaa007", k=10, where=Where(min_detections=5))    # a pyarrow.Table
archive.search(fingerprints.latent, space=model.space, newest=True)

Notable:
- a folder holds one Lance table for each space, under its name: fingerprints of different spaces never meet
- a row is known by survey and candid, or object_id and mjd where there is no candid; a repeat changes nothing
- filters are built from typed values (`rtf/archive/where.py`), never from text
"""

from rtf.archive.archive import Added, Archive, ArchiveError, open_archive
from rtf.archive.where import Where

__all__ = ["Added", "Archive", "ArchiveError", "Where", "open_archive"]
