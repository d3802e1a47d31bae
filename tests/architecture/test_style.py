"""Size limits and habits that a linter does not know; docs/architecture.md has them in words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("annotator", "ecgfm_core", "launcher", "workers")
FILE_LINES, FUNCTION_LINES, TASK_LINES, VIEW_LINES = 400, 40, 20, 15
VIEW_FILES = re.compile(r"annotator/(api|pages)/")
HTTP_METHODS = {"get", "post", "put", "patch", "delete"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[tuple[str, str]]:
    """Yield path and text of every module of ours that people write."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text()


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(node: Function) -> int:
    """Return how long a function is, its docstring and decorators left out."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def limit(path: str, node: Function) -> int:
    """Return how long this function may be."""
    decorators = " ".join(ast.unparse(one) for one in node.decorator_list)
    if path.startswith("workers/") and ".task" in decorators:
        return TASK_LINES
    arguments = [argument.arg for argument in node.args.args[:2]]
    is_view = node.name in HTTP_METHODS if arguments[:1] == ["self"] else arguments[:1] == ["request"]
    return VIEW_LINES if VIEW_FILES.match(path) and is_view else FUNCTION_LINES


def test_files_are_short():
    assert [f"{path}: {text.count(chr(10))}" for path, text in modules() if text.count("\n") > FILE_LINES] == []


def test_functions_tasks_and_views_are_short():
    long = [
        f"{path}:{node.lineno} {node.name}: {body_lines(node)} > {limit(path, node)}"
        for path, text in modules()
        for node in functions(ast.parse(text))
        if body_lines(node) > limit(path, node)
    ]
    assert long == []


def test_modules_and_public_functions_say_what_they_are():
    silent = []
    for path, text in modules():
        tree = ast.parse(text)
        if text.strip() and ast.get_docstring(tree) is None:
            silent.append(path)
        for node in tree.body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                silent += [] if ast.get_docstring(node) else [f"{path}:{node.lineno} {node.name}"]
    assert silent == []


def test_nothing_is_skipped_or_mocked():
    banned = re.compile(r"pytest\.(mark\.)?(skip|xfail)|importorskip|unittest|from mock|mocker\b")
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != Path(__file__):
            found += [f"{path.name}: {match[0]}" for match in banned.finditer(path.read_text())]
    assert found == []


def scripts() -> dict[str, str]:
    """Return every script of ours by its name below static/js."""
    folder = ROOT / "frontend" / "static" / "js"
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.js"))}


def scripts_with(pattern: str) -> set[str]:
    """Return the names of the scripts in which a pattern is found."""
    return {name for name, text in scripts().items() if re.search(pattern, text)}


def test_only_one_script_fetches_and_only_sheets_know_plotly():
    assert scripts_with(r"\bfetch\(|XMLHttpRequest|sendBeacon") == {"lib/api.js"}
    assert scripts_with(r"\bPlotly\.") <= {"lib/sheet.js", "lib/chart.js"}
    assert scripts_with(r"\beval\(|new Function\(") == set()


def test_no_script_imports_a_page():
    pages = {name for name in scripts() if not name.startswith("lib/")}
    for name, text in scripts().items():
        for target in re.findall(r"from\s+[\"']([^\"']+)[\"']", text):
            assert Path(target).name not in pages, f"{name} imports the page {target}"
