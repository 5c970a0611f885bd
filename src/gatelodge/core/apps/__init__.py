"""External Client Apps: Settings (the developer's), Policies (the administrator's), and the registry of both."""
