"""MCP servers in Setup: the list, a new one, and a server's page with what it offers and how it is reached."""
