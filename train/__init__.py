"""From conversations in a persona to a trained adapter on disk."""
