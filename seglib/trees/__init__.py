"""A folder as it was unpacked -> which of its files are images and which are masks of them, or why that is not told."""
