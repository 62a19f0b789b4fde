"""Figures of what stands beside the grid: standard checks, and suites with measures of their own."""
