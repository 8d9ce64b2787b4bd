"""The engine beside its peers, all at one reference step over the same log.

The step: decode a record of 244 bytes (Avro), keep a count and a sum by key (state with a changelog), encode
an output, send it. `step` says it once; `ours`, `bare`, `stock_faust`, `quix_streams` and
`KafkaStreamsStep.java` do it, each a program started as ``PROGRAM BROKERS GROUP INPUT OUTPUT CHANGELOG
DIRECTORY COMMIT_INTERVAL_MS …`` that runs until SIGTERM. `judge` reads back what came out; `run` measures
them in turn.
"""
