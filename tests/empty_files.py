"""Trees of empty files, for tests of which files are found."""


def touch(root, *names):
    """Make files below ``root`` with the folders they lie in; ``root`` itself is given back."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root
