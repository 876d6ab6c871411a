"""The data set as charts and as a map."""
