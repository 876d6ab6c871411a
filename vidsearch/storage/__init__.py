"""The index on the disk: see FORMAT.md beside this file. Imports NumPy and PyArrow, nothing heavier."""
