"""The commands of `kiln`, a file each, which holds a click command called ``command``.

Each imports what computes only when it runs, so that help and completion take no time, and before
``entry.run``: until then a signal ends the process at once, without an exception that C code may swallow.
"""

# In the order of the help.
NAMES = ("predict", "compare", "search", "models", "recipe", "doctor", "benchmark")
