"""Filters over the columns of an index: text → checked tree (parse.py, needs sqlglot) → matching rows (evaluate.py, needs PyArrow)."""
