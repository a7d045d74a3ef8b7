"""The pages that students and lecturers read: one self-contained HTML file each, no script, readable on a phone.

Everything that comes from a student is text, and escaped; pictures are PNGs whose head was looked at. The page forbids
its own scripts (Content-Security-Policy) besides. Of the self-check's inputs, which students have, it shows numbers; of
the inputs that decided the points it says only what kind of thing is wrong.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
from collections import Counter

from jinja2 import Environment

from .masters import Master

MOST_SIDE = 4000  # pixels of a picture

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5b6475; --paper: #fff; --card: #f4f5f8; --line: #d9dde5;
  --good: #1a7f4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --soft: #a3adbd; --paper: #14171d; --card: #1e232c;
  --line: #343b48; --good: #5fd39a; --bad: #ff9c93; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 50rem; padding: 1.2rem 1rem 4rem; font: 1rem/1.55 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.score { font-size: 2rem; font-weight: 650; margin: .6rem 0; }
.bar { height: .5rem; border-radius: .25rem; background: var(--line); } .bar div { height: 100%; border-radius: .25rem;
  background: var(--good); }
.check { background: var(--card); border-radius: .6rem; padding: .6rem .9rem; margin: .5rem 0; }
.check ul { margin: .2rem 0; padding-left: 1.2rem; }
pre { background: var(--card); border-radius: .6rem; padding: .8rem; overflow-x: auto; font-size: .85rem; }
img { max-width: 100%; height: auto; border-radius: .6rem; background: #fff; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .5rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } .scroll { overflow-x: auto; }
  th, .word { overflow-wrap: normal; }
a { color: inherit; }
"""

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ title }}</title><style>{{ style }}</style></head><body>
"""

PAGE = (
    HEAD
    + """<p class="soft">{{ homework }} · {{ master_title }}</p>
<h1>{{ row.student }}</h1>
<p class="score">{{ num(row.total) }} of {{ num(row.of) }} points</p>
<div class="bar" role="img" aria-label="{{ num(row.total) }} of {{ num(row.of) }} points">
<div style="width: {{ (100 * row.total / row.of) | round(1) }}%"></div></div>
{% if row.status != "graded" %}<p class="bad"><b>{{ row.status }}</b>: {{ row.reason }}</p>
{% elif row.reason %}<p class="soft">{{ row.reason }}</p>{% endif %}
{% if row.status in ("rejected", "error") %}<p class="soft">Nothing in {{ row.file }} could be graded.</p>{% else %}
<p class="soft">Graded from {{ row.file }}. Points come from the self-checks of the notebook, on other inputs.</p>
{% endif %}
{% for e in row.exercises if row.status not in ("rejected", "error") %}
<h2>{{ e.exercise.replace("_", " ") }} · {{ num(e.points) }} of {{ num(e.of) }}</h2>
{% if not e.answered %}<p class="soft">Not answered.</p>{% endif %}
{% if e.note %}<p class="soft">Taken from the notebook: {{ e.note }}.</p>{% endif %}
{% if e.trouble %}<p class="bad">It {{ e.trouble }}, so it was left out and the rest was graded without it.</p>
{% endif %}
{% if e.library %}<p class="bad">It uses the library's own answer, {{ e.library | join(", ") }}, so it does not
count.</p>
{% endif %}
{% if e.error and not e.trouble %}<p class="bad">The cell ended with an error: {{ e.error }}</p>{% endif %}
{% if e.answered %}{% for c in e.checks %}
<div class="check"><b class="{{ "good" if c.passed else "bad" }}">{{ "✓" if c.passed else "✗" }}</b> {{ c.title }}
<span class="soft">· {{ num(c.points) if c.passed else "0" }} of {{ num(c.points) }}</span>
{% set told = words(c.wrong) %}{% if told %}<ul>{% for line in told %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}</div>
{% endfor %}{% endif %}
{% for source in pictures(e.exercise) %}
<p><img src="{{ source }}" alt="What your answer to {{ e.exercise }} draws"></p>
{% endfor %}
{% if e.answered %}<details><summary>The answer that was graded</summary>
<pre>{{ row.answers[e.exercise] }}</pre></details>
{% endif %}{% endfor %}
</body></html>
"""
)

SUMMARY = (
    HEAD
    + """<p class="soft">{{ homework }}</p><h1>{{ master_title }}</h1>
<p>{{ rows | length }} submissions: {% for status, count in statuses %}{{ count }} {{ status }}{{ ", " if not loop.last
}}{% endfor %}. Mean {{ num(mean) }}, median {{ num(median) }} of {{ num(of) }} points.</p>
<p><img src="{{ distribution }}" alt="How many submissions reached how many points; the table has the numbers"></p>
<h2>Exercises, the hardest first</h2>
<p><img src="{{ hardest }}" alt="The share of points that was reached in each exercise"></p>
<div class="scroll"><table><tr><th>check</th><th>solved by</th><th>what most often went wrong</th></tr>
{% for line in checks %}<tr><td>{{ line.title }}<br><span class="soft">{{ line.exercise }}</span></td>
<td>{{ line.solved }} of {{ rows | length }}</td><td>{{ line.wrong }}</td></tr>{% endfor %}</table></div>
<h2>Submissions</h2>
<div class="scroll"><table><tr><th>student</th><th>points</th><th>status</th><th>remarks</th></tr>
{% for row in rows %}<tr><td><a href="{{ row.feedback }}">{{ row.student }}</a></td><td>{{ num(row.total) }}</td>
<td class="word">{{ row.status }}</td><td>{{ row.reason }}</td></tr>{% endfor %}</table></div>
</body></html>
"""
)


def page(row: dict, master: Master) -> str:
    """The feedback to one submission."""
    by_exercise: dict[str, list[str]] = {}
    for cell in master.cells("payoff"):
        shown = [
            source for png in row["pictures"].get(cell["metadata"]["nbgrader"]["grade_id"], ()) if (source := safe(png))
        ]
        by_exercise.setdefault(cell["metadata"]["t2i"]["exercise"], []).extend(shown)
    return _fill(
        PAGE,
        master,
        title=f"{master.name}: {row['student']}",
        row=row,
        words=_words,
        pictures=lambda e: by_exercise.get(e, []),
    )


def summary(rows: list[dict], master: Master) -> str:
    """The lecturer's page about the whole class."""
    totals = sorted(row["total"] for row in rows)
    middle = len(totals) // 2
    median = totals[middle] if len(totals) % 2 else (totals[middle - 1] + totals[middle]) / 2
    exercises: dict[str, list[float]] = {}
    checks: dict[str, dict] = {}
    for row in rows:
        for e in row["exercises"]:
            exercises.setdefault(e["exercise"], []).append(e["points"] / e["of"])
            for c in e["checks"]:
                told = checks.setdefault(
                    c["check"], {"title": c["title"], "exercise": e["exercise"], "solved": 0, "wrongs": Counter()}
                )
                told["solved"] += c["passed"]
                if not c["passed"] and e["answered"]:
                    told["wrongs"].update({re.sub(r"(by up to \S+) \(.*", r"\1", x) for x in _words(c["wrong"])[:1]})
    for told in checks.values():
        told["wrong"] = "; ".join(text for text, _ in told["wrongs"].most_common(1))
    shares = sorted((sum(points) / len(points), name) for name, points in exercises.items())
    return _fill(
        SUMMARY,
        master,
        title=f"{master.name}: the class",
        rows=sorted(rows, key=lambda row: row["student"].lower()),
        statuses=Counter(row["status"] for row in rows).most_common(),
        mean=sum(totals) / len(totals),
        median=median,
        of=rows[0]["of"],
        distribution=_distribution(totals, rows[0]["of"]),
        hardest=_hardest(shares),
        checks=sorted(checks.values(), key=lambda told: told["solved"]),
    )


def _fill(template: str, master: Master, **about) -> str:
    environment = Environment(autoescape=True, trim_blocks=True)
    told = {"homework": master.name, "master_title": master.notebook["metadata"]["t2i"]["title"]}
    return environment.from_string(template).render(**told, num=lambda x: f"{x:g}", style=_Safe(STYLE), **about)


class _Safe(str):
    def __html__(self) -> str:
        return self


def _words(wrong: list[list[str]]) -> list[str]:
    """What to tell of one check: what is wrong on the self-check's inputs, else what kind of thing on others."""
    if wrong[0]:
        return wrong[0]
    others = [lines for lines in wrong[1:] if lines]
    if not others:
        return []
    return [f"right on the inputs of the self-check, wrong on {len(others)} of {len(wrong) - 1} others: {others[0][0]}"]


def safe(png) -> str | None:
    """A picture as the source of an <img>, None if it is no PNG of a decent size."""
    try:
        content = base64.b64decode("".join(png.split()), validate=True)
        width, height = struct.unpack(">II", content[16:24])
    except (AttributeError, binascii.Error, struct.error, ValueError):
        return None
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or not 0 < max(width, height) <= MOST_SIDE:
        return None
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _distribution(totals: list[float], of: float) -> str:
    figure, axis = _figure(2.4)
    axis.hist(totals, bins=10, range=(0, of), color="#4477AA", edgecolor="white")
    axis.set_xlabel("points")
    axis.set_ylabel("submissions")
    axis.yaxis.get_major_locator().set_params(integer=True)
    return _as_png(figure)


def _hardest(shares: list[tuple[float, str]]) -> str:
    figure, axis = _figure(0.5 + 0.45 * len(shares))
    names, values = [name.replace("_", " ") for _, name in shares][::-1], [100 * share for share, _ in shares][::-1]
    bars = axis.barh(names, values, color="#4477AA")
    axis.bar_label(bars, fmt="%.0f %%", padding=3)
    axis.set_xlim(0, 112)
    axis.set_xlabel("% of the points reached")
    return _as_png(figure)


def _figure(height: float):
    from matplotlib.figure import Figure  # not pyplot: the lecturer's own figures are left alone

    figure = Figure(figsize=(7, height), layout="constrained", dpi=120)
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _as_png(figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
