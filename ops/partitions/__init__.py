"""Partitions of the input log: the state of one made again from it, or the whole log spread over more."""
