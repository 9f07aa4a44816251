"""The subcommands of `kvformat`, one idea a module; `kvformat.cli` puts them together."""
