"""Proof of the books: balances are what transfers say, wholly on demand and bit by bit all the time."""
