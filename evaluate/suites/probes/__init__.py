"""The suites with items and measures of their own; their items lie in ``items``."""
