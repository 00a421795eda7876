"""What kind of file it is, and whether its header is right: read from a few of its bytes, before any decoder is."""
