"""``python -m gatelodge`` and the ``gatelodge`` command."""

from gatelodge.cli import main

if __name__ == "__main__":
    main()
