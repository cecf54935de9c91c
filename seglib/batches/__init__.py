"""A table of samples -> batches of tensors, augmented; decoded files are kept on disk."""
