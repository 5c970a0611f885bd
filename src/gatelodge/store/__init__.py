"""The databases, and all that knows them. Above this line an operation doesn't know which one it runs on."""

from gatelodge.store.opening import Store, StoreRefused, open_store

__all__ = ["Store", "StoreRefused", "open_store"]
