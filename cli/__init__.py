"""The command line: what people start by hand."""
