"""Local commands that speak MCP over standard input and output: supervised children behind the relay, for development."""
