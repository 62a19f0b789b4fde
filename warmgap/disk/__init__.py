"""What lies on disk: arms and comparisons, journals and manifests, tables, and what goes to a tracker."""
