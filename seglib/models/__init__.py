"""A configuration -> a network; pretrained weights and checkpoints."""
