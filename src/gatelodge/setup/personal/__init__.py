"""Pages of everybody's own, without any permission: connections, second factors, sessions, password, verification."""
