"""Hosted MCP servers over the records of a database. Its libraries are heavy, so nothing here is loaded at a start."""
