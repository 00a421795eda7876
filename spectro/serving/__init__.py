"""Serving: publish a finished run, and later answer over HTTP."""
