"""A stand-in for both services: a real HTTP server on 127.0.0.1 with invented or given data."""


def main(argv: list[str] | None = None) -> int:
    """Run the sandbox's command line; see :mod:`helpers.sandbox.server`."""
    from helpers.sandbox.server import main as run

    return run(argv)
