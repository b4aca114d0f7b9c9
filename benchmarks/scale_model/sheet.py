"""A table that can be shown on a terminal and written into a page."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.table import Table


@dataclass
class Sheet:
    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def table(self) -> Table:
        shown = Table(title=self.title, title_justify="left")
        for column in self.columns:
            shown.add_column(column, justify="right")
        for row in self.rows:
            shown.add_row(*row)
        return shown

    def markdown(self) -> str:
        lines = [self.columns, ["---:"] * len(self.columns), *self.rows]
        return "\n".join([f"{self.title}:", "", *(f"| {' | '.join(line)} |" for line in lines)])
