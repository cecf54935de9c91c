"""Files, told apart by `trees` -> the table of samples, their folds, and the settings that the data itself decides."""
