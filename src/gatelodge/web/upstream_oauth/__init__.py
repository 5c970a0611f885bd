"""The house as an OAuth client of upstream MCP servers: what it finds out, who it is there, and the tokens it gets."""
