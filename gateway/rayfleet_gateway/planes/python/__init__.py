"""The data path in Python: raw protocols on the event loop, no task per request."""
