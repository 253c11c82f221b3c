"""All targets of one process of the API server."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from http import HTTPStatus
from typing import NoReturn

from code_patterns.codes import Code
from code_patterns.errors import ConfigurationError
from code_patterns.hooks.configured import Configured, configured_target, target_names
from code_patterns.web.access import TARGET
from code_patterns.web.metrics import Look, exposition
from code_patterns.web.opened import Databases
from code_patterns.web.problems import RefusedError
from code_patterns.web.service import Service


class Services:
    """Has one service for each target. A changed targets file is noticed.

    :param read: reads the connections of a target
    :param names: gives the names of all targets
    """

    def __init__(
        self,
        read: Callable[[str], Configured] = configured_target,
        names: Callable[[], Sequence[str]] = target_names,
    ) -> None:
        self._read = read
        self._names = names
        self._databases = Databases()
        self._services: dict[str, Service] = {}

    async def targets(self) -> Sequence[str]:
        """Return the names of all targets; the first one is empty, for the target without a name.

        :raises ConfigurationError: the targets file is wrong
        """
        names = await asyncio.to_thread(self._names)
        await self._close(self._services.keys() - set(names))
        return names

    async def of(self, target: str) -> Service:
        """Return what answers about one target.

        :param target: its name; empty for the one without a name
        :raises RefusedError: there is none
        :raises ConfigurationError: the targets file is wrong
        """
        if target and target not in await self.targets():
            _refuse(target)
        return self._of(target)

    async def metrics(self, only: str = "") -> str:
        """Return the state of all targets and what their last runs did, in the text format of Prometheus.

        :param only: a target, to be told of no other one
        :raises RefusedError: there is no such target
        :raises ConfigurationError: the targets file is wrong; or there is but one target to tell of, and a connection
            or Variable of it is missing or makes no sense
        """
        if only:
            await self.of(only)
        names = [only] if only else await self.targets()
        looks = await asyncio.gather(*(self._look(name, alone=len(names) == 1) for name in names))
        return exposition({name: look for name, look in zip(names, looks, strict=True) if look})

    async def _look(self, target: str, *, alone: bool) -> Look | None:
        try:
            return await self._of(target).look()
        except RefusedError:
            # It has left the targets file since it was asked.
            if alone:
                raise
            return None
        except ConfigurationError as error:
            if alone:
                raise
            # Who has targets with names may need no other one.
            missing = not target and error.code == Code.CONNECTION_MISSING
            return None if missing else Look()

    def _of(self, target: str) -> Service:
        if target not in self._services:
            self._services[target] = Service(lambda: self._read(target), self._databases)
        return self._services[target]

    async def close(self) -> None:
        """Close everything; the next question would open it again."""
        await self._close(set(self._services))

    async def _close(self, names: Collection[str]) -> None:
        gone = {name: self._services.pop(name) for name in names}
        for name, service in gone.items():
            await service.close(partial(_refuse, name))


def _refuse(target: str) -> NoReturn:
    raise RefusedError(HTTPStatus.NOT_FOUND, f"There is no target '{target}' in the targets file.", TARGET)
