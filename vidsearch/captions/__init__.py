"""Keyword search over captions: a tantivy index beside each segment, derived from its captions and never trusted.

INDEX/keywords/<segment's uuid>/ holds tantivy's files and KEYWORDS.json, written last, with the size and SHA-256 of each. What does not
match is made anew; whoever deletes the folder loses the time that takes.
"""
