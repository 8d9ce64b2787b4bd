"""What waits for people: quarantined records, refusals of the ledger, refunds parked for their purchase."""
