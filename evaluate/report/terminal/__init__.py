"""The tables of a comparison in the terminal."""
