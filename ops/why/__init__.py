"""Why a payment earned what it did: its life across input log, decisions, ledger and webhooks.

finding   where its records lie, and what they and the ledger say      → facts
inputs    what became of each thing the partner sent
judged    what each program said, in sentences with figures
life      all of it in the order in which it happened                   → steps
text      steps for people; the command prints them, or their JSON
"""
