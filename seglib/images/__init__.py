"""A file -> an array: images, masks, their heads, their values and what they look like."""
