"""How sure figures are: what is measured is right or wrong, not fast or slow."""
