"""The command line of reskeras, installed as `reskeras_cli`: one command a file, parsed here, done by `reskeras`."""
