"""REST APIs with an OpenAPI document as MCP servers: operations as tools (decision 0047)."""
