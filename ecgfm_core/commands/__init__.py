"""One module a command of the command line: ``add(subparsers)`` and the function it runs. Nothing heavy at import."""
