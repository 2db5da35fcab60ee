"""What is done for one fleet: the rollout, the way in for requests, the status. Pure."""
