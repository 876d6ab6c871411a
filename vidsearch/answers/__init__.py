"""From a question to a page of hits: one vector, a ranking that grows, what is folded, varied and grouped on the way."""
