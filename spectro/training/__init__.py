"""Training: pictures to batches, a frozen stage from cache, fine-tuning, and the bundle that travels."""
