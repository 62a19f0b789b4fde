"""From chat logs to the conversations of a persona: read, cleaned, drawn, rewritten, checked."""
