"""The same work done by others, run by the environment that ``requirements.lock`` beside this package describes."""
