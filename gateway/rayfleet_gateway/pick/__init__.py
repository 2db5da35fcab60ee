"""Which endpoint of a rule is asked: filter, score, pick over what is known of each. Pure; chance comes in."""
