"""A persona trained in by an endpoint: files handed in, a job watched to its end, its models noted."""
