"""The double-entry ledger: cashback events in, entries, transfers, balances and the webhook outbox out."""

SINK = "ledger"
"""Under this name, with the setting `topic_prefix` before it, stand its positions."""
