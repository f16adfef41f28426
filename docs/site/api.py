"""The Python API, from signatures and docstrings as they are in the source; nothing is imported to read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import griffe

import reskeras
from docs.site.page import Page, address, block, code, prose, table

INDEX = "api.md"
GROUPS = {
    "Networks": ("network", "NetworkSpec", "catalog", "resolve", "plan", "Plan", "build", "load"),
    "Data": ("source", "Source", "prepare_data", "convert_data"),
    "Training": ("recipe", "train", "train_seeds", "Run", "analyse_fresh", "read_analysis", "write_report"),
    "Search": ("space", "tune", "Search", "HyperModel"),
    "Detection": (
        *("detector", "DetectorSpec", "train_detector", "DetectorRun"),
        *("localiser", "LocaliserSpec", "refiner", "RefinerSpec"),
    ),
    "Porting": ("port", "conform"),
    "Reproduction": ("reproduce", "reproduce_all"),
    "Serving and machines": ("Client", "doctor", "ReskerasError"),
}
# what these functions return; its classes are made by reskeras alone, so that they are no public names
RESULTS = {
    "Networks": ("plans.complexity.Complexity",),
    "Training": ("evaluation.accuracy.Evaluation", "evaluation.prediction.Prediction", "export.proof.Proof"),
    "Detection": (
        *("tasks.detection.detections.ImageDetections", "tasks.detection.detections.VideoDetections"),
        "tasks.detection.detection_evaluation.DetectionEvaluation",
        "tasks.localisation.evaluation.LocalisationEvaluation",
    ),
    "Porting": ("identification.conform.Conformity",),
    "Reproduction": ("experiments.results.SuiteResult",),
    "Serving and machines": ("client.Served", "client.ServedObjects"),
}
FIELDS_OF = {
    "NetworkSpec": "network",
    "DetectorSpec": "detector",
    "LocaliserSpec": "localiser",
    "RefinerSpec": "refiner",
}
# a run is an instance of the class for its task: what there is for a classifier's
MEMBERS_OF = {"Run": "tasks.classification.run.ClassifierRun"}
VARIADIC = griffe.ParameterKind.var_positional
ANNOTATED = re.compile(r"^Annotated\[([^,]+), .*\]$")
LONGEST = 88  # a signature in one line
PUBLIC = re.compile(r"`reskeras\.(\w+)(\([^`]*\))?`")
GROUP_OF_RESULT = {path.rpartition(".")[2]: title for title, paths in RESULTS.items() for path in paths}
RESULT = re.compile(rf"(?<![\w`.])({'|'.join(GROUP_OF_RESULT)})(?![\w`])")
Links = Callable[..., str]  # from a page, and an anchor in it, to its address
Documented = griffe.Function | griffe.Class | griffe.Attribute


def pages(root: Path) -> list[Page]:
    """A page for each group of public names, after the page that lists all; a name in no group is an error."""
    grouped = [name for names in GROUPS.values() for name in names]
    if left := set(reskeras.__all__) ^ set(grouped):
        raise SystemExit(f"docs/site/api.py: GROUPS and reskeras.__all__ differ in {', '.join(sorted(left))}")
    package = griffe.load("reskeras", search_paths=[root], resolve_aliases=True, resolve_external=False)
    homes = {name: package[f"{reskeras._HOMES[name].removeprefix('reskeras.')}.{name}"] for name in grouped}
    members = {name: package[path] for name, path in MEMBERS_OF.items()}
    results = {title: [package[path] for path in RESULTS.get(title, ())] for title in GROUPS}
    return [
        _index(homes),
        *(
            _group(title, {name: homes[name] for name in names}, members, results[title], root)
            for title, names in GROUPS.items()
        ),
    ]


def path_of(name: str) -> str:
    """The page that describes a public name."""
    [title] = [title for title, names in GROUPS.items() if name in names]
    return _page_path(title)


def _page_path(title: str) -> str:
    return f"api/{title.lower().replace(' ', '-')}.md"


def _index(homes: dict[str, Documented]) -> Page:
    to = partial(address, INDEX)
    parts = [
        "# Python API",
        "Everything public is a name of the package `reskeras`; importing it loads neither TensorFlow nor Keras until"
        " something needs them. Mistakes are raised as"
        f" [`ReskerasError`]({to(path_of('ReskerasError'), 'reskeras.ReskerasError')}), with the words that the"
        " command line prints.",
    ]
    for title, names in GROUPS.items():
        rows = [
            [f"[{code('reskeras.' + name)}]({to(_page_path(title), 'reskeras.' + name)})", _summary(homes[name], to)]
            for name in names
        ]
        parts += [f"## {title}", table(["name", "what it is"], rows)]
    return Page(INDEX, "All names", "\n\n".join(parts), "reskeras/__init__.py", "The public Python names of reskeras.")


def _summary(of: Documented, to: Links) -> str:
    first = of.docstring.value.split("\n\n")[0] if of.docstring else ""
    return _linked(prose(" ".join(first.split())), to)


def _linked(text: str, to: Links) -> str:
    """`text` with public names in code, and names of results, as links to their descriptions."""

    def link(found: re.Match[str]) -> str:
        name = found[1]
        if name not in reskeras.__all__:
            return found[0]
        return f"[{found[0]}]({to(path_of(name), f'reskeras.{name}')})"

    def link_result(found: re.Match[str]) -> str:
        return f"[{code(found[0])}]({to(_page_path(GROUP_OF_RESULT[found[0]]), found[0])})"

    return RESULT.sub(link_result, PUBLIC.sub(link, text))


def _group(
    title: str, homes: dict[str, Documented], members: dict[str, griffe.Class], results: list[griffe.Class], root: Path
) -> Page:
    path = _page_path(title)
    to = partial(address, path)
    parts = [f"# Python API: {title[0].lower()}{title[1:]}"]
    for name, home in homes.items():
        parts += _described(f"reskeras.{name}", home, to)
        if isinstance(home, griffe.Class):
            parts += _of_members(name, members.get(name, home), to)
        parts.append(f"<small>Defined in `{_file(home, root)}`.</small>")
    if results:
        parts += ["## Results", "What the functions above return; programs do not make them."]
    for result in results:
        parts += _result(result, to)
    listed = ", ".join(f"reskeras.{name}" for name in homes)
    return Page(path, title, "\n\n".join(parts), "reskeras/__init__.py", f"Python API: {listed}.")


def _result(of: griffe.Class, to: Links) -> Iterator[str]:
    """A class of results: its fields, what they are, and what it computes from them."""
    typed = {each.name: str(each.annotation) for each in _parameters(of) if each.annotation}
    fields = [f"{name}: {ANNOTATED.sub(lambda found: found[1], annotation)}" for name, annotation in typed.items()]
    yield f"### `{of.name}` {{#{of.name}}}"
    yield block("\n".join(fields), "python")
    yield from _docstring(of, to)
    rows = [
        [code(member.name if "property" in member.labels else f"{member.name}()"), _summary(member, to)]
        for member in _members(of)
    ]
    if rows:
        yield table(["property, method", "what it is"], rows)


def _described(name: str, of: Documented, to: Links) -> Iterator[str]:
    document = FIELDS_OF.get(name.removeprefix("reskeras."))
    yield f"## `{name}` {{#{name}}}"
    if not document:
        yield block(_signature(name.rpartition(".")[2], of), "python")
    yield from _docstring(of, to)
    if document:
        yield f"Its fields are those of the [{document} file]({to(f'reference/{document}.md')})."


def _of_members(name: str, of: griffe.Class, to: Links) -> Iterator[str]:
    if name in MEMBERS_OF:
        yield "What follows is what the run of a classifier has; runs of other tasks differ where their results do."
    for member in _members(of):
        yield f"### `{name}.{member.name}` {{#reskeras.{name}.{member.name}}}"
        yield block(_signature(member.name, member), "python")
        yield from _docstring(member, to)


def _file(of: Documented, root: Path) -> str:
    assert isinstance(of.filepath, Path)
    return of.filepath.resolve().relative_to(root.resolve()).as_posix()


def _members(of: griffe.Class) -> Iterator[Documented]:
    """Public methods and properties with a docstring, inherited ones too; fields are in the signature."""
    for name, member in of.all_members.items():
        found = member.final_target if isinstance(member, griffe.Alias) else member
        is_field = isinstance(found, griffe.Attribute) and "property" not in found.labels
        if not name.startswith("_") and found.docstring and not is_field and isinstance(found, Documented):
            yield found


def _signature(name: str, of: Documented) -> str:
    if isinstance(of, griffe.Attribute):
        return f"{name}: {of.annotation}" if of.annotation else name
    decorated = "@classmethod\n" if isinstance(of, griffe.Function) and "classmethod" in of.labels else ""
    parameters = [each for each in _parameters(of) if each.name not in ("self", "cls")]
    words = [_parameter(each) for each in parameters]
    kinds = [each.kind for each in parameters]
    if griffe.ParameterKind.keyword_only in kinds and VARIADIC not in kinds:
        words.insert(kinds.index(griffe.ParameterKind.keyword_only), "*")
    returns = f" -> {of.returns}" if isinstance(of, griffe.Function) and of.returns else ""
    lead = decorated + ("class " if isinstance(of, griffe.Class) else "")
    line = f"{name}({', '.join(words)}){returns}"
    if len(line) > LONGEST:
        line = f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){returns}"
    return lead + line


def _parameters(of: griffe.Class | griffe.Function) -> list[griffe.Parameter]:
    if isinstance(of, griffe.Function):
        return list(of.parameters)
    made = of.all_members.get("__init__")
    made = made.final_target if isinstance(made, griffe.Alias) else made
    return list(made.parameters) if isinstance(made, griffe.Function) else []


def _parameter(each: griffe.Parameter) -> str:
    kinds: dict[griffe.ParameterKind | None, str] = {VARIADIC: "*", griffe.ParameterKind.var_keyword: "**"}
    stars = kinds.get(each.kind, "")
    annotated = f": {each.annotation}" if each.annotation else ""
    if each.default is None or stars:
        return f"{stars}{each.name}{annotated}"
    return f"{each.name}{annotated} = {each.default}" if annotated else f"{each.name}={each.default}"


def _docstring(of: Documented, to: Links) -> Iterator[str]:
    """Paragraphs, doctests as code."""
    for part in (of.docstring.value if of.docstring else "").split("\n\n"):
        if part.lstrip().startswith(">>>"):
            yield block(part, "pycon")
        elif part.lstrip().startswith("- "):
            yield "\n".join(
                line if not line.startswith("- ") else f"- {_linked(prose(line[2:]), to)}" for line in part.split("\n")
            )
        elif part:
            yield _linked(prose(part), to)
