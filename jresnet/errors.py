"""The exception for errors of the user."""


class UsageError(ValueError):
    """The user asked for something that cannot be done.

    The message is one line and names the field, the value and what would be accepted.
    `jresnet.run.launch.launch` prints it and exits with status 2.
    """
