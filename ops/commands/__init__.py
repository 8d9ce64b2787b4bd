"""One module a command of the command line; `ops.cli` imports only the one that runs."""
