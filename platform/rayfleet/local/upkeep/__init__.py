"""Small chores of the controller manager: what every namespace and every ready node is given or rid of."""
