"""What warmgap holds: kills, faults, ten million rows, a cluster."""
