"""Clips as a browser plays them: posters, videos and cuts, made by processes that can be killed."""
