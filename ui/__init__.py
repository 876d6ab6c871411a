"""The Gradio page for exploring an index."""
