"""A local page on which people label the most informative recordings first."""
