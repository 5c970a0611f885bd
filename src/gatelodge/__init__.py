"""Gatelodge: the house beside an organisation's gate, where third-party MCP clients come in under control."""

__version__ = "0.1.0"
