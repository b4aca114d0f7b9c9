"""A Python prompt for the snippets of a page: reads them as JSON lines, and answers what each printed or did wrong.

The value of an expression that ends in a comment `# → …` must look like what the comment says; `# → Error: …` says
that it raises. Code may `await`.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import json
import os
import sys
import traceback
from typing import Any

from docs.shape import looks_like

AWAITING = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
ARROW = "# → "


class Session:
    """One prompt, whose names live from snippet to snippet."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._loop = asyncio.Runner()

    def run(self, code: str) -> None:
        """Runs a snippet, statement by statement. Raises what it raises; else `AssertionError` for all wrong values."""
        lines, wrong = code.splitlines(), []
        for node in ast.parse(code).body:
            _, arrow, promised = lines[(node.end_lineno or 0) - 1].partition(ARROW)
            if arrow:
                assert isinstance(node, ast.Expr), f"only an expression has a value: {ast.unparse(node)}"
                seen = self._seen(node)
                if not looks_like(seen, promised):
                    wrong.append(f"{ast.unparse(node)} is {seen}, not {promised}")
            else:
                self._do(compile(ast.Module([node], []), "<page>", "exec", AWAITING))
        assert not wrong, "\n".join(wrong)

    def _seen(self, node: ast.Expr) -> str:
        try:
            return repr(self._do(compile(ast.Expression(node.value), "<page>", "eval", AWAITING)))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def _do(self, code: Any) -> Any:
        value = eval(code, self._names)
        if code.co_flags & inspect.CO_COROUTINE:
            return self._loop.run(value)
        return value

    def close(self) -> None:
        self._loop.close()


def main() -> None:
    """Answers on the real standard output; what snippets and their threads print goes into the answers."""
    sys.path.insert(0, os.getcwd())
    answers = os.fdopen(os.dup(1), "w")
    session = Session()
    for line in sys.stdin:
        if (code := json.loads(line)) is not None:
            sys.stdout = io.StringIO()
            error = None
            try:
                session.run(code)
            except BaseException:
                error = traceback.format_exc()
        printed = sys.stdout.getvalue() if isinstance(sys.stdout, io.StringIO) else ""
        print(json.dumps({"error": error, "printed": printed}), file=answers, flush=True)
    session.close()


if __name__ == "__main__":
    main()
