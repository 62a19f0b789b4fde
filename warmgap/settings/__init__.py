"""What may be set: every setting with its type and scope, what makes sense, and how a run is composed of them."""
