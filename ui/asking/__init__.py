"""What a state asks of the index, and what comes back: rankings, pages, how sure they are, exports."""
