"""What is done for one replica set: Ray clusters made and deleted, the status. Pure."""
