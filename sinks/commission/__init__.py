"""Commission by volume: tiers, the rates recorded from them, and the book that posting asks."""
