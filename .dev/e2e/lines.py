"""Reads line protocol that Telegraf wrote, and writes points anew, independently of the services' own parser."""
import re

from live.process import Failed

# A word ends at the first delimiter without a backslash before it.
MEASUREMENT = re.compile(r"(?:\\.|[^,\s\\]|\\)+")
TAG = re.compile(r",((?:\\.|[^=,\s\\]|\\)+)=((?:\\.|[^=,\s\\]|\\)+)")
FIELD = re.compile(r'((?:\\.|[^=,\s\\]|\\)+)=("(?:\\.|[^"\\])*"|[^,\s"]+)')
INTEGER = re.compile(r"-?\d+[iu]$")
BOOLEANS = {"t": True, "T": True, "true": True, "f": False, "F": False, "false": False}


class Point:
    """One line: `tags` and `fields` by name; a field is its type's name (as SHOW FIELD KEYS has it) and its value."""

    def __init__(self, measurement, tags, fields, time_ns):
        self.measurement = measurement
        self.tags = tags
        self.fields = fields
        self.time_ns = time_ns

    def series(self):
        return self.measurement, tuple(sorted(self.tags.items()))


def parse(line):
    head = MEASUREMENT.match(line)
    position = head.end()
    tags = {}
    while tag := TAG.match(line, position):
        tags[unescape(tag[1])] = unescape(tag[2])
        position = tag.end()
    fields = {}
    while field := FIELD.match(line, position + 1):
        fields[unescape(field[1])] = value(field[2])
        position = field.end()
    rest = line[position:].strip()
    if not fields or not re.fullmatch(r"-?\d+", rest):
        raise Failed(f"not a line with a time: {line!r}")
    return Point(unescape(head[0]), tags, fields, int(rest))


def value(text):
    if text.startswith('"'):
        return "string", re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in BOOLEANS:
        return "boolean", BOOLEANS[text]
    if INTEGER.match(text):
        return "integer", int(text[:-1])
    return "float", float(text)


def unescape(word):
    return re.sub(r"\\([,= ])", r"\1", word)


def write(measurement, tags, row, types):
    """The line of a row that /query answered: its columns by name, nulls among them; `types` as `peers.field_types` has them."""
    key = ",".join([escape(measurement, ", "), *(f"{escape(name)}={escape(text)}" for name, text in tags.items() if text)])
    fields = (f"{escape(name)}={written(held, types[name])}" for name, held in row.items() if name != "time" and held is not None)
    return f"{key} {','.join(fields)} {row['time']}"


def written(held, kinds):
    if isinstance(held, str):
        return '"' + re.sub(r'(["\\])', r"\\\1", held) + '"'
    if isinstance(held, bool):
        return str(held).lower()
    return f"{held}i" if kinds == {"integer"} else str(held)


def escape(word, special=",= "):
    return "".join(f"\\{letter}" if letter in special else letter for letter in word)
