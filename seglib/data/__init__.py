"""A folder -> the table of its samples, their folds, and the settings that the data itself decides."""
