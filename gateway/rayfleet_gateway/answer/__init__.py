"""What a client is told, what is seen in an answer that passes, and how an exchange is accounted for. Pure."""
