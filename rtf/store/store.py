"""The name under which scripts know `rtf.store.read`."""

from rtf.store.read import Store, StoreError, open_store

__all__ = ["Store", "StoreError", "open_store"]
