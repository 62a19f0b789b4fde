"""Hydra's search path, with the folders of settings that come from outside."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from warmgap.settings import plugins


class FromOutside(SearchPathPlugin):
    """Adds the folders of ``--config-dir`` and of plug-in packages behind our own; Hydra calls it when it composes."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders that are at work."""
        for folder in plugins.folders():
            search_path.append("outside", f"file://{folder}")
