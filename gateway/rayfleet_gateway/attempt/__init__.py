"""How often and how long an exchange asks: attempts, budgets, deadlines, and which endpoint is ill. Pure."""
