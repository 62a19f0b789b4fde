"""What is asked: the grid of contexts and beliefs, and the standard checks beside it."""
