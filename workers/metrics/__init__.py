"""What a worker tells Prometheus: of itself, and as a control worker of the whole fleet."""
