"""Where in the log each payment is: an index of places, so that the life of one can be read at once."""

SINK = "places"
"""Under this name, with the setting `topic_prefix` before it, stand its positions."""
