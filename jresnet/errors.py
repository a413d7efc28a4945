"""The one exception a user of the command line meets."""


class UsageError(ValueError):
    """What the user asked for cannot be done.

    The message is one line and names the field, the value and what would be accepted.
    `jresnet.run.launch.launch` prints it and exits with status 2.
    """
