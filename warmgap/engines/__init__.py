"""Who answers: models on this machine and behind endpoints, with their templates, adapters and memory."""
