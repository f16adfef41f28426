"""`python -m reskeras`: the command line."""

from reskeras_cli.main import main

if __name__ == "__main__":
    main()
