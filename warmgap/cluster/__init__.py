"""The whole work of a run on a cluster: pieces that are jobs, what is done and under way, and who hands them in."""
