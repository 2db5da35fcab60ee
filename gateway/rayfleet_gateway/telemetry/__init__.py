"""What the gateway tells of its work: metrics, the access log, spans. Counting is plain integers; the rest is apart."""
