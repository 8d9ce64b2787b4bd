"""What other programs would have changed: a history judged twice, and the money that moves."""
