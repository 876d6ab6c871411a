"""Scores of clips as columns of an index: how beautiful, how well the caption fits, and which captions to doubt."""
