"""What of a container a move cannot keep, told by name before anything is touched."""
