"""What the faces share: the site, request parsing, sessions, the browser's defences, templates and static files."""
