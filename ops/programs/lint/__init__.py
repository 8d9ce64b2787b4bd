"""What is allowed in a program and hardly meant: pure checks, each finding with its code and its remedy."""
