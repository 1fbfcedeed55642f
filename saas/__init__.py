"""The Django project: settings, URL maps, health, the embedded database, the commands ``serve`` and ``demo``."""

__version__ = "1.0.0"
"""The product's version. It stands here alone; see CHANGELOG.md."""
