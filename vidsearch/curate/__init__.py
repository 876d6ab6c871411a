"""Making data sets out of an index: subsets and their recipes, near-duplicates, what is covered."""
