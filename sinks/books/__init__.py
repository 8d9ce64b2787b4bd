"""The ledger as accountants read it: statements, the credit log, balances as they were known."""
