"""Recipes that try to close the gap and keep the warmth: one module each, named as its configuration is."""
