"""The examples of the Markdown pages are run: `python -m docs.site.examples [PAGE...]`, and `make docs-examples`.

Pages are README.md, CONTRIBUTING.md and the Markdown files below docs/. The blocks of a page are run in order in one
empty folder, into which the files that they mention are put (`inputs.py`). What a fenced block is follows from its
language:

- `console`: lines `$ command`, each followed by what it prints, on stdout and stderr. A line `...` stands for any
  lines. A command whose output shown has a line `reskeras: ...`, as errors begin, must fail; all others must succeed.
- `sh`, `bash` or none: commands, run without a look at what they print. In these and in consoles `reskeras` commands
  are parsed by the command line's own parser, `make` targets and extras of `pip install` are looked up.
- `python`: a part of the one program that the Python blocks of a page are. An expression with the comment `# 123`
  must have that value.
- `yaml`: a network, detector, localiser, refiner, recipe, space or suite.
- `text` and other languages are not examples.

A YAML or Python block whose first line is a comment with a file name, such as `# mine.yaml`, is also written to that
file; a Python file that one of the page's commands mentions is not run besides.

In running text, `reskeras ...` and options such as `--batch-size 32` in code spans must parse, and YAML such as
`holdout: 0.1` must be a field of a document.

A block is run by `make test`, so it must be fast and print the same everywhere, unless the comment on the line before
it says something else, in words separated by commas:

    <!-- example: slow -->               run by make docs-examples and make test-slow only
    <!-- example: timed -->              times differ from run to run
    <!-- example: trained -->            figures of a trained network and times are compared roughly (`outputs.py`)
    <!-- example: not run, REASON -->    its commands are only parsed

A comment that contains the word `check` on its first line, and Python below, is a block of its own that no reader sees:

    <!-- example: check
    assert data.train.count == 1500
    -->

`--update` rewrites the console blocks that no longer match, and copies the pictures that their commands draw where
those that the page shows have another size; blocks that match stay as they are, with their times.
"""
