"""What a user did that cannot be done, in one sentence with the cure."""


class InputError(ValueError):
    """A mistake in the data, the settings or the command line.

    Its message is one sentence that names the thing and says what to do about it; the command line prints that
    sentence without a traceback and leaves with exit code 2.
    """
