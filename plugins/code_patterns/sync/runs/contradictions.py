"""Settings that contradict each other: a run would leave out what was asked, and succeed all the same."""

from collections.abc import Iterator

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.sync.sync_settings import SyncSettings

_LIMITED = "a full sync with a limit "
_TOGETHER = {
    ("full", "rollback", "limit"): f"{_LIMITED}never changes which collection readers see",
    ("full", "take_over", "limit"): f"{_LIMITED}leaves the collection to its owner",
    ("full", "allow_mass_delete", "limit"): f"{_LIMITED}deletes nothing",
    ("full", "retry_dead_letters", "limit"): f"{_LIMITED}leaves out dead letters too",
    ("verify", "heal", "limit"): "a verification cannot be limited",
    ("verify", "heal", "dry_run"): "a dry run heals nothing",
    ("interval", "retry_dead_letters", "interval"): "such a run tries only the rows of its interval",
}
"""Why a kind of run cannot do what the first setting asks for beside the second one."""
_ONLY = {
    "rollback": ("full",),
    "heal": ("verify",),
    "retry_dead_letters": ("incremental", "full"),
    "interval": ("interval",),
    "limit": ("incremental", "full", "interval", "verify"),
    "dry_run": ("incremental", "full", "interval", "verify"),
}
"""Which kinds of run do what a setting asks for. A permission that a run does not need is no request."""
_SHOWN = {"interval": "'interval_start' and 'interval_end' or an interval of the run's own"}


def refuse_contradictions(settings: SyncSettings) -> None:
    """Refuse settings of which a run could follow only some.

    :raises ConfigurationError: there are such
    """
    for said in _contradictions(settings):
        raise ConfigurationError(Code.SETTING_WRONG, said)


def _contradictions(settings: SyncSettings) -> Iterator[str]:
    kind = _kind(settings)
    for (where, asked, beside), why in _TOGETHER.items():
        if where == kind and getattr(settings, asked) and getattr(settings, beside):
            yield f"The Param '{asked}' is set beside {_shown(beside)}, but {why}. Leave one of the two out."
    for asked, kinds in _ONLY.items():
        if kind not in kinds and getattr(settings, asked):
            able = " or ".join(kinds)
            yield f"A run of the kind '{kind}' is given {_shown(asked)}, which only {able} runs follow. Leave it out."


def _kind(settings: SyncSettings) -> str:
    if settings.id_range:
        return "shard"
    # Of the others only an incremental run makes way for an interval.
    return "interval" if settings.interval and settings.mode == "incremental" else settings.mode


def _shown(name: str) -> str:
    return _SHOWN.get(name, f"'{name}'")
