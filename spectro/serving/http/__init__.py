"""A page and an HTTP API on one machine: bounded in memory, disk and time, closed to every other site and host."""
