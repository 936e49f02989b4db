"""List files over 500 lines and function bodies over 40, longest first: for a person to look at."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES, BODY_LINES = 500, 40


def bodies(path: Path) -> list[tuple[int, str]]:
    """Length and place of every function in the file, without its docstring."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1
            found.append((length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"))
    return found


def main() -> None:
    """Print both lists and the sums."""
    files = sorted((ROOT / "src").rglob("*.py"))
    lines = {path: len(path.read_text().splitlines()) for path in files}
    functions = sorted((item for path in files for item in bodies(path)), reverse=True)
    print(f"{len(files)} files, {sum(lines.values())} lines, {len(functions)} functions in src")
    print(f"\nfiles over {FILE_LINES} lines")
    for path, count in sorted(lines.items(), key=lambda item: -item[1]):
        if count > FILE_LINES:
            print(f"  {count:5}  {path.relative_to(ROOT)}")
    print(f"\nfunctions over {BODY_LINES} lines")
    for length, place in functions:
        if length > BODY_LINES:
            print(f"  {length:5}  {place}")


if __name__ == "__main__":
    main()
