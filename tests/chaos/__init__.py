"""Every step of a move is hit by every kind of accident; what is left is looked at."""
