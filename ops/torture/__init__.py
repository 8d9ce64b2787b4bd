"""The whole system beaten while it works: brokers, workers, sinks, database, network, receivers, disk.

`cashback torture`. Seeded: the same seed strikes in the same order at the same shares of the same inputs.
"""
