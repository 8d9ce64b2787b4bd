"""Webhooks: signed, repeated until they are taken, in order for each cashback."""
