"""Lots: pieces of one rendering or prediction, each done at once by one worker and made known by one commit."""
