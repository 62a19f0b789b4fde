"""Which arms a run has, how each is made, and how warm it is."""
