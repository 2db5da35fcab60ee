"""From the bytes of a request to what is asked for: head, model, and which headers go on. Pure."""
