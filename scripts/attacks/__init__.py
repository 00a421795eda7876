"""The attacks of `scripts/stress state`, each a function of a world and a case."""
