"""Programs as their owners handle them: what is published, what a file would change, what looks wrong."""
