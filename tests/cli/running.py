"""Command lines run in this process, and what they have to be like when refused."""

from click.testing import CliRunner

from reskeras_cli.main import commands


def invoke(*words, stdin=None):
    """The result of a command line, whose words may be paths and numbers; `stdin` is what it may read."""
    return CliRunner().invoke(commands, [str(word) for word in words], input=stdin)


def printed(*words):
    """What a command line printed that was no mistake."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words, status=2):
    """What a refused command line printed on stderr: one or two lines, no traceback, that exit status."""
    result = invoke(*words)
    assert result.exit_code == status, result.output
    lines = result.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith("reskeras: ")
    assert "Traceback" not in result.output
    return result.stderr
