"""Keeping an index sound: verify, repair, delete, collect garbage, and look through what could not be indexed."""
