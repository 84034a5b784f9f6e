"""The commands, each as a `sampan.cli.parser.Command`; a module is imported when one of its commands is called."""
