"""The one exception that a user may see."""


class UserError(Exception):
    """Something that the user can fix.

    Its text is one plain sentence that names the file, key or value at fault
    and says what to do; ``entry.run`` prints it in place of a traceback.
    """
