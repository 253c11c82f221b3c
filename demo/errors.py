"""The demo's own error."""


class DemoError(Exception):
    """Something did not go as the demo needs it; the message says what, and where to read more."""
