"""Vouchers: what members spend their wallets on."""
