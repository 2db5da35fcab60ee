"""What every room of the gateway speaks of: settings, errors and the values that pass from room to room. Pure."""
