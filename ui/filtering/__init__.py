"""The filter as conditions that a click changes, and the counts beside them."""
