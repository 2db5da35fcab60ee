"""Selection, lists and watches."""
