"""The same work done by other tools, in the environment of ``benchmarks/requirements.lock``."""
