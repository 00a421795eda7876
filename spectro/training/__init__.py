"""Training: networks (frozen stage, fine-tuning, from scratch) and classical models, each left as a run folder."""
