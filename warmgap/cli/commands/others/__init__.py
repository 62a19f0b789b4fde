"""What goes to others' tools and comes from them: an arm at an address, checks that they have run, logs for them."""
