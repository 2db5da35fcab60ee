"""Small chores of the controller manager: what every namespace and ready node is given or rid of, budgets."""
