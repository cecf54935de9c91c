"""What was asked for on the command line -> the functions of the package, and what they found in words."""
