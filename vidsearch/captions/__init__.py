"""Keyword search over captions."""
