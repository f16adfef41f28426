"""The command line of reskeras, installed as `reskeras_cli`: each command is a file that parses and calls `reskeras`."""
