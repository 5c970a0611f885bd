"""The face of administrators."""
ROUTES = ()
