"""The double-entry ledger: cashback events in, entries, transfers, balances and the webhook outbox out."""
