#!/usr/bin/env python3
"""Draws what a program printed as an SVG picture of a terminal window.

    tools/terminal_picture.py [--title TEXT] [--max-lines N] [--max-columns N] [-o FILE] [INPUT]

INPUT (default: standard input) is the program's output with its ANSI sequences; `script -qec COMMAND /dev/null` records it
with colours. Carriage returns, erasing and moves of the cursor take effect, so a progress line is drawn as it stood last.
The window is as wide as its longest line. The same input gives the same bytes.
"""
import argparse
import dataclasses
import re
import sys
import unicodedata
from xml.sax.saxutils import escape, quoteattr

# The 16 colours on a dark ground, normal and then bright.
PALETTE = ["#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
           "#6b7280", "#ff8790", "#b5e08d", "#ffd88a", "#84c7ff", "#e298f5", "#78d5e0", "#ffffff"]
FOREGROUND = "#d6dae2"
BACKGROUND = "#1b1f27"
TITLE_BAR = "#2a303b"
TITLE_TEXT = "#9aa3b2"
BUTTONS = ["#ff5f57", "#febc2e", "#28c840"]
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
FONT_SIZE = 14
CELL_WIDTH = 8.4
LINE_HEIGHT = 19
BAR_HEIGHT = 34
MARGIN = 16
LEAST_COLUMNS = 40
TAB = 8
MOST_ROWS = 100_000  # Beyond it, moves down and to the right are not followed.
MOST_COLUMNS = 10_000

TOKEN = re.compile(
    r"\x1b\[(?P<arguments>[0-9;:?<=>]*)[ -/]*(?P<command>[@-~])"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # Strings: window titles, links.
    r"|\x1b[ -/]*[0-~]"
    r"|(?P<control>[\x00-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x1f\x7f]+)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Style:
    """How a cell looks; colours are `#rrggbb`, or None for the window's own."""
    foreground: str | None = None
    background: str | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    inverse: bool = False


PLAIN = Style()
SWITCHES = {1: {"bold": True}, 2: {"dim": True}, 3: {"italic": True}, 4: {"underline": True}, 7: {"inverse": True},
            22: {"bold": False, "dim": False}, 23: {"italic": False}, 24: {"underline": False}, 27: {"inverse": False},
            39: {"foreground": None}, 49: {"background": None}}


@dataclasses.dataclass(frozen=True)
class Cell:
    """A character with the marks combined with it. The second cell of a wide character has no text."""
    text: str = " "
    style: Style = PLAIN


def indexed_colour(index: int) -> str:
    """A colour of the 256: the 16, a cube of 6 × 6 × 6, and greys."""
    if index < 16:
        return PALETTE[index]
    if index >= 232:
        return "#" + f"{8 + 10 * (min(index, 255) - 232):02x}" * 3
    steps = (0, 95, 135, 175, 215, 255)
    index -= 16
    return "#" + "".join(f"{steps[index // weight % 6]:02x}" for weight in (36, 6, 1))


def extended_colour(numbers: list[int]) -> str | None:
    """Takes what follows 38 or 48 off the front of `numbers`: 5;INDEX or 2;RED;GREEN;BLUE."""
    kind = numbers.pop(0) if numbers else 0
    wanted = {5: 1, 2: 3}.get(kind, 0)
    values = [min(number, 255) for number in numbers[:wanted]]
    del numbers[:wanted]
    if len(values) < wanted or wanted == 0:
        return None
    return indexed_colour(values[0]) if kind == 5 else "#" + "".join(f"{value:02x}" for value in values)


def changed_style(style: Style, arguments: str) -> Style:
    """The style after a sequence `ESC [ arguments m`; what is unknown changes nothing."""
    numbers = [int(part) if part.isdigit() else 0 for part in re.split("[;:]", arguments)]
    while numbers:
        number = numbers.pop(0)
        if number == 0:
            style = PLAIN
        elif number in SWITCHES:
            style = dataclasses.replace(style, **SWITCHES[number])
        elif number in (38, 48):
            side = "foreground" if number == 38 else "background"
            style = dataclasses.replace(style, **{side: extended_colour(numbers)})
        else:
            for first, side, bright in ((30, "foreground", 0), (40, "background", 0), (90, "foreground", 8),
                                        (100, "background", 8)):
                if first <= number < first + 8:
                    style = dataclasses.replace(style, **{side: PALETTE[number - first + bright]})
    return style


class Screen:
    """A terminal without an end in either direction, as far as programs that print lines need one."""

    def __init__(self) -> None:
        self.rows: list[list[Cell]] = [[]]
        self.row = 0
        self.column = 0
        self.style = PLAIN

    def feed(self, text: str) -> None:
        for token in TOKEN.finditer(text):
            if token["text"]:
                for character in token["text"]:
                    self.put(character)
            elif token["control"]:
                self.control(token["control"])
            elif token["command"]:
                self.command(token["command"], token["arguments"])

    def put(self, character: str) -> None:
        line = self.rows[self.row]
        if unicodedata.combining(character) or character in "\u200d\ufe0e\ufe0f":
            if 0 < self.column <= len(line):
                before = line[self.column - 1]
                line[self.column - 1] = dataclasses.replace(before, text=before.text + character)
            return
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        line.extend([Cell()] * (self.column + width - len(line)))
        line[self.column:self.column + width] = [Cell(character, self.style)] + [Cell("", self.style)] * (width - 1)
        self.column = min(self.column + width, MOST_COLUMNS)

    def control(self, character: str) -> None:
        if character == "\n":
            self.move_down(1)
            self.column = 0  # Programs write "\n" and count on the terminal's driver to return.
        elif character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\t":
            self.column = min(self.column // TAB * TAB + TAB, MOST_COLUMNS)

    def move_down(self, lines: int) -> None:
        self.row = min(self.row + lines, MOST_ROWS)
        self.rows.extend([] for _ in range(self.row + 1 - len(self.rows)))

    def command(self, command: str, arguments: str) -> None:
        if command == "m":
            self.style = changed_style(self.style, arguments)
            return
        first = re.match(r"\d+", arguments)
        number = int(first[0]) if first else 0
        if command == "A":
            self.row = max(0, self.row - max(1, number))
        elif command == "B":
            self.move_down(max(1, number))
        elif command == "C":
            self.column = min(self.column + max(1, number), MOST_COLUMNS)
        elif command == "D":
            self.column = max(0, self.column - max(1, number))
        elif command == "G":
            self.column = min(max(1, number) - 1, MOST_COLUMNS)
        elif command == "K":
            self.erase_in_line(number)
        elif command == "J" and number == 0:
            self.erase_in_line(0)
            del self.rows[self.row + 1:]
        elif command == "J":
            self.rows, self.row, self.column = [[]], 0, 0
        elif command == "H" and number <= 1:
            self.row = self.column = 0

    def erase_in_line(self, which: int) -> None:
        line = self.rows[self.row]
        if which in (0, 2):
            del line[self.column:]
        if which in (1, 2):
            line[:self.column + 1] = [Cell()] * min(self.column + 1, len(line))
        if which == 2:
            line.clear()


def visible(line: list[Cell]) -> list[Cell]:
    """The line without what can't be seen at its end."""
    end = len(line)
    while end and line[end - 1].text == " " and not shown(line[end - 1].style)[1] and not line[end - 1].style.underline:
        end -= 1
    return line[:end]


def shown(style: Style) -> tuple[str, str | None]:
    """Colours of a cell after inversion: foreground, background (None: the window's)."""
    if style.inverse:
        return style.background or BACKGROUND, style.foreground or FOREGROUND
    return style.foreground or FOREGROUND, style.background


def laid_out(rows: list[list[Cell]], max_lines: int, max_columns: int) -> list[list[Cell]]:
    """The lines to draw: long ones folded as a terminal folds them, those beyond `max_lines` replaced by their number."""
    lines = []
    for row in rows:
        row = visible(row)
        lines += [row[at:at + max_columns] for at in range(0, max(1, len(row)), max_columns)]
    while lines and not lines[-1]:
        lines.pop()
    if max_lines and len(lines) > max_lines:
        hidden = len(lines) - max_lines + 1
        note = f"… {hidden} more lines"
        lines = lines[:max_lines - 1] + [[Cell(character, Style(dim=True)) for character in note]]
    return lines


def runs(line: list[Cell]) -> list[tuple[int, list[Cell]]]:
    """Neighbours of one style, each with the column where they begin."""
    found: list[tuple[int, list[Cell]]] = []
    for column, cell in enumerate(line):
        if found and found[-1][1][0].style == cell.style:
            found[-1][1].append(cell)
        else:
            found.append((column, [cell]))
    return found


def number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def draw_run(column: int, cells: list[Cell], top: float) -> list[str]:
    style = cells[0].style
    foreground, background = shown(style)
    parts = []
    left = MARGIN + column * CELL_WIDTH
    if background:
        parts.append(f'<rect x="{number(left)}" y="{number(top)}" width="{number(len(cells) * CELL_WIDTH)}" '
                     f'height="{LINE_HEIGHT}" fill="{background}"/>')
    first = 0
    last = len(cells)
    if not style.underline:
        while first < last and cells[first].text == " ":
            first += 1
        while last > first and cells[last - 1].text == " ":
            last -= 1
    if first == last:
        return parts
    attributes = f'x="{number(left + first * CELL_WIDTH)}" y="{number(top + LINE_HEIGHT * 0.74)}"'
    # The length fits the text to the columns whatever font the viewer has.
    attributes += f' textLength="{number((last - first) * CELL_WIDTH)}"'
    if foreground != FOREGROUND:
        attributes += f' fill="{foreground}"'
    for wanted, attribute in ((style.bold, 'font-weight="bold"'), (style.dim, 'opacity="0.6"'),
                              (style.italic, 'font-style="italic"'), (style.underline, 'text-decoration="underline"')):
        if wanted:
            attributes += " " + attribute
    text = "".join(cell.text for cell in cells[first:last])
    return parts + [f"<text {attributes}>{escape(text)}</text>"]


def draw(lines: list[list[Cell]], title: str) -> str:
    columns = max([LEAST_COLUMNS, len(title) + 14] + [len(line) for line in lines])
    width = number(2 * MARGIN + columns * CELL_WIDTH)
    height = number(BAR_HEIGHT + 2 * MARGIN * 0.75 + max(1, len(lines)) * LINE_HEIGHT)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           f'role="img" aria-label={quoteattr(title or "terminal")} font-family="{FONT}" font-size="{FONT_SIZE}">',
           "<style>text{white-space:pre}</style>",
           f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
           f'<path d="M0 {BAR_HEIGHT}V8a8 8 0 0 1 8-8H{number(float(width) - 8)}a8 8 0 0 1 8 8V{BAR_HEIGHT}z" '
           f'fill="{TITLE_BAR}"/>']
    for place, colour in enumerate(BUTTONS):
        svg.append(f'<circle cx="{MARGIN + 6 + 20 * place}" cy="{BAR_HEIGHT // 2}" r="6" fill="{colour}"/>')
    if title:
        svg.append(f'<text x="{number(float(width) / 2)}" y="{BAR_HEIGHT // 2 + 5}" text-anchor="middle" '
                   f'fill="{TITLE_TEXT}">{escape(title)}</text>')
    svg.append(f'<g fill="{FOREGROUND}" xml:space="preserve">')
    for index, line in enumerate(lines):
        for column, cells in runs(line):
            svg += draw_run(column, cells, BAR_HEIGHT + MARGIN * 0.75 + index * LINE_HEIGHT)
    svg += ["</g>", "</svg>"]
    return "\n".join(svg) + "\n"


def read(path: str | None) -> str:
    if path is None:
        data = sys.stdin.buffer.read()
    else:
        with open(path, "rb") as file:
            data = file.read()
    return data.decode("utf-8", errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", metavar="INPUT", help="a file with the output (default: standard input)")
    parser.add_argument("-o", "--output", metavar="FILE", help="the picture (default: standard output)")
    parser.add_argument("--title", default="", help="text of the title bar")
    parser.add_argument("--max-lines", type=int, default=0, metavar="N", help="draw at most so many lines (default: all)")
    parser.add_argument("--max-columns", type=int, default=120, metavar="N", help="fold longer lines (default: 120)")
    args = parser.parse_args()
    if args.max_lines < 0 or args.max_columns < 1:
        parser.error("--max-lines must not be negative, and --max-columns must be positive")

    screen = Screen()
    screen.feed(read(args.input))
    picture = draw(laid_out(screen.rows, args.max_lines, args.max_columns), args.title)
    if args.output is None:
        sys.stdout.buffer.write(picture.encode())
    else:
        with open(args.output, "w", encoding="utf-8") as file:
            file.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
