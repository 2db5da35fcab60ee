"""What `rayfleet up` and `rayfleet status` do: start a cluster, watch fleets come up, ask the first question."""
