"""The command line of reskeras, installed as `reskeras_cli`: one file for each command, which parses and delegates."""
