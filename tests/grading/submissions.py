"""Submissions of HW1 that must not confuse the grader, each with the truth: its points, or "rejected".

ALL is a list of (name, truth, write), where write(folder, place) puts the submission into the folder. `place` tells a
hostile one where solutions, results and neighbours are.
"""

import json
import os
import random
import zipfile

import psutil

from t2i_course.grading import masters

LIMITS = {"cell_seconds": 8.0, "notebook_seconds": 40.0, "memory": 1 << 30}

MASTER = masters.find("hw01")
GOOD = MASTER.solutions
STUDENT = masters.student_version(MASTER)
ZEROS = {
    "pagerank": "def pagerank(graph, picturability, damping=0.3):\n    return np.zeros(len(graph))\n",
    "overlap": "def overlap(positions, sides):\n    return np.ones((len(sides), len(sides)))\n",
    "energy": "def energy(*a):\n    return 0.0\n",
    "monte_carlo_step": "def monte_carlo_step(positions, *a):\n    return positions * 0\n",
}

HOSTILE: list[tuple] = []
CLUMSY: list[tuple] = []


def without_payoffs(master):
    """The same checks, and nothing drawn: a third of the time."""
    cells = [cell for cell in master.notebook["cells"] if masters.about(cell).get("role") != "payoff"]
    return masters.Master({**master.notebook, "cells": cells})


def warm_processes():
    """All processes that are the grader's by their name, which forked ones keep, also those that lost their parents."""
    found = set()
    for process in psutil.process_iter():
        try:
            if "t2i_course.grading.warm" in process.cmdline():
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def notebook(answers):
    """The student version with answers filled in."""
    filled = json.loads(json.dumps(STUDENT))
    for cell in filled["cells"]:
        if masters.grade_id(cell) in answers:
            cell["source"] = answers[masters.grade_id(cell)]
    return filled


def cell(name, of):
    return next(c for c in of["cells"] if masters.grade_id(c) == name)


def save(content, folder, name, **options):
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), **options)


def answers_file(kind, name, truth, answers):
    """A submission in one file, for which answers may be a function of `place`."""

    def write(folder, place):
        save(notebook(answers(place) if callable(answers) else answers), folder, f"{name}.ipynb")

    kind.append((name, truth, write))


def edited(kind, name, truth, edit, answers=GOOD):
    """A submission whose notebook is edited beyond its answers."""

    def write(folder, place):
        content = notebook(answers)
        save(edit(content) or content, folder, f"{name}.ipynb")

    kind.append((name, truth, write))


def custom(kind, name, truth):
    def register(write):
        kind.append((name, truth, write))
        return write

    return register


# --- hostile: code in the first answer; the others are good (70 points), or all are wrong (0) ------------------------

FIRST = {
    "endless_loop": "while True:\n    pass",
    "endless_loop_in_function": "def pagerank(*a):\n    while True:\n        pass",
    "loop_that_swallows_interrupts": "def pagerank(*a):\n    while True:\n        try:\n            while True: pass\n"
    "        except BaseException: pass",
    "ignores_interrupts": "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ndef pagerank(*a):\n"
    "    while True: time.sleep(1)",
    "finds_values_in_memory": "import gc, json, os\ndef pagerank(graph, *a):\n    return np.zeros(len(graph))\n"
    "for found in [o for o in gc.get_objects() if isinstance(o, dict)]:\n"
    "    for r in [found, *(x for x in gc.get_referents(found) if isinstance(x, dict))]:\n"
    "        if {'check', 'seed', 'values'} <= set(map(str, r)):\n"
    "            r = {k: r[k] for k in ('check', 'seed', 'values')} | {'error': '', 'library': []}\n"
    "            os.write(int(os.environ['T2I_VALUES']), (json.dumps(r) + chr(10)).encode())",
    "burns_all_cores": "import hashlib, threading\ndef burn():\n    while True: hashlib.sha256(bytes(1 << 22))\n"
    "def pagerank(*a):\n    for _ in range(4): threading.Thread(target=burn).start()\n    burn()",
    "exits_hard": "import os\nos._exit(0)",
    "exits_hard_in_function": "import os\ndef pagerank(*a):\n    os._exit(0)",
    "exits": "import sys\nsys.exit(0)",
    "exits_in_function": "import sys\ndef pagerank(*a):\n    sys.exit(0)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "kills_itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "takes_8_gigabytes": "def pagerank(*a):\n    return bytearray(8 << 30)",
    "takes_memory_bit_by_bit": "def pagerank(*a):\n    kept = []\n    while True:\n        kept.append(np.ones(10**7))",
    "endless_recursion": "def pagerank(*a):\n    return pagerank(*a)",
    "fifty_children": "import os, time\nfor _ in range(50):\n    if not os.fork():\n        os.setsid()\n        time.sleep(997)\n"
    "        os._exit(0)",
    "fork_bomb": "import os\nwhile True:\n    os.fork()",
    "returns_itself": "def pagerank(*a):\n    return pagerank",
    "returns_text": "def pagerank(*a):\n    return '0.1'",
    "returns_nan": "def pagerank(graph, *a):\n    return np.full(len(graph), np.nan)",
    "returns_a_billion_numbers": "def pagerank(*a):\n    return np.broadcast_to(0.0, 10**9)",
    "equal_to_everything": "class Yes(float):\n    def __eq__(self, other): return True\n    __le__ = __ge__ = __eq__\n"
    "def pagerank(graph, *a):\n    return [Yes(0)] * len(graph)",
    "an_array_that_exits": "class Trap:\n    def __array__(self, *a, **k): raise SystemExit\ndef pagerank(*a):\n    return Trap()",
    "patches_allclose": ZEROS["pagerank"]
    + "np.allclose = np.testing.assert_allclose = np.isclose = lambda *a, **k: True",
    "syntax_error": "def pagerank(:\n",
    "library_answer": "from t2i_course.layout.keyphrases import pagerank as theirs\ndef pagerank(graph, picturability, damping=0.3):\n"
    "    return theirs(graph, picturability, damping)",
    "library_answer_hidden": "import importlib\ndef pagerank(graph, picturability, damping=0.3):\n"
    "    module = importlib.import_module('t2i_course.lay' + 'out.keyphrases')\n"
    "    return getattr(module, 'page' + 'rank')(graph, picturability, damping)",
    "library_answer_caught": "import t2i_course.layout.keyphrases as k\nf = vars(k)['pagerank']\n"
    "def pagerank(graph, picturability, damping=0.3):\n    try:\n        return f(graph, picturability, damping)\n"
    "    except RuntimeError:\n        return np.zeros(len(graph))",
    "library_answer_by_name": "from t2i_course.layout.keyphrases import pagerank",
    "library_source": "import inspect, pathlib\nfrom t2i_course.layout import keyphrases as k\n"
    "scope = {'np': np, 'DAMPING': 0.3}\n"
    "text = pathlib.Path(k.__file__).read_text()\n"
    "exec(text[text.index('def pagerank'):text.index('def how_many')], scope)\npagerank = scope['pagerank']",
    "library_bytecode": "import marshal, importlib.util, pathlib\nfrom t2i_course.layout import keyphrases as k\n"
    "data = pathlib.Path(importlib.util.cache_from_source(k.__file__)).read_bytes()\n"
    "code = marshal.loads(data[16:])\nexec(code, {'__name__': 't2i_course.layout.other', '__package__': 't2i_course.layout'})",
}
for name, code in FIRST.items():
    answers_file(HOSTILE, name, 70, GOOD | {"pagerank": code})

ALL_WRONG = {
    "patches_the_checks": "from t2i_course.grading import checks\nchecks.differences = lambda *a, **k: []\n"
    "checks.as_value = lambda name, numbers, tolerance=1: [name, [], [0.0], 1e9]",
    "patches_the_emitter": "from t2i_course.grading import checks\nchecks.Emitter = lambda *a, **k: (lambda name: (lambda body: body))",
    "writes_records_of_its_own": "import os, json\nfor check in ('pagerank_links', 'overlap_areas', 'energy_overlap', 'step_taken'):\n"
    "    for seed in range(4):\n        os.write(int(os.environ['T2I_VALUES']), (json.dumps({'check': check, 'seed': seed, 'values':"
    " [['ranks', [6], [0.0] * 6, 1e9]], 'error': '', 'library': []}) + '\\n').encode())",
    "writes_rubbish_to_the_grader": "import os\nos.write(int(os.environ['T2I_VALUES']), b'\\xff{[' * 100 + b'\\n' + b'[' * 60000 + b'\\n')",
    "writes_a_pickle_to_the_grader": "import os, pickle\nclass Evil:\n    def __reduce__(self): return (os.system, ('touch /tmp/evil',))\n"
    "os.write(int(os.environ['T2I_VALUES']), pickle.dumps(Evil()) + b'\\n')",
    "floods_the_grader": "import os, threading\ndef flood():\n    while True: os.write(int(os.environ['T2I_VALUES']), b'x' * 4096)\n"
    "threading.Thread(target=flood, daemon=True).start()",
    "empties_all_cells": "get_ipython().input_transformers_cleanup.append(lambda lines: [])",
    "patches_run_cell": "async def nothing(*a, **k): pass\ntype(get_ipython()).run_cell_async = nothing",
    "assertions_are_warnings": "import builtins\nbuiltins.AssertionError = Warning",
    "an_alarm": "import signal\nsignal.alarm(2)",
    "closes_all_files": "import os\nos.closerange(3, 400)",
    "looks_into_the_driver": "import os, ctypes\nfor pid in (1, os.getppid()):\n    try:\n        open(f'/proc/{pid}/mem', 'rb').read(10)\n"
    "    except OSError: pass\n    ctypes.CDLL(None).ptrace(16, pid, 0, 0)\n    try: os.kill(pid, 9)\n    except OSError: pass",
    "wants_to_be_root": "import os, ctypes\nlibc = ctypes.CDLL(None)\nfor call in (lambda: os.setuid(0), lambda: os.setgroups([0]),"
    " lambda: os.chroot('/'), lambda: libc.mount(b'x', b'/', b'tmpfs', 0, 0), lambda: libc.umount2(b'/dev/shm', 2), lambda: libc.unshare(0x10000000)):\n"
    "    try: call()\n    except OSError: pass",
    "raises_its_limits": "import resource\nfor name in ('RLIMIT_CPU', 'RLIMIT_DATA', 'RLIMIT_NPROC', 'RLIMIT_FSIZE'):\n"
    "    try: resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2)\n    except (OSError, ValueError): pass\n"
    "f = open('big', 'wb')\nfor _ in range(300): f.write(bytes(1 << 20))",
    "searches_its_memory": "import gc\nfor thing in gc.get_objects():\n"
    "    if isinstance(thing, dict) and 'solutions' in thing: solutions = thing['solutions']",
}
for name, code in ALL_WRONG.items():
    answers_file(HOSTILE, name, 0, ZEROS | {"pagerank": f"{ZEROS['pagerank']}{code}\n"})

THIEF = """
import glob, json, os
found = []
for pattern in {patterns}:
    for file in glob.glob(pattern, recursive=True):
        try:
            found.append(open(file).read())
        except OSError:
            pass
for text in found:
    try:
        for cell in json.loads(text)["cells"]:
            source = "".join(cell["source"])
            if source.lstrip().startswith("def ") and "positions * 0" not in source:
                exec(source)
    except Exception:
        pass
"""


def thief(*patterns):
    def answers(place):
        code = THIEF.format(patterns=[str(place[p.split("/")[0]]) + p[p.index("/") :] for p in patterns])
        last = f"{ZEROS['monte_carlo_step']}\n{code}"
        return ZEROS | {"monte_carlo_step": last}

    return answers


answers_file(HOSTILE, "reads_the_master", 0, thief("assignments/**/*.ipynb"))
answers_file(HOSTILE, "reads_the_neighbours", 0, thief("submissions/**/*.ipynb"))
answers_file(HOSTILE, "reads_the_results", 0, thief("out/**/*"))
answers_file(
    HOSTILE,
    "overwrites_the_neighbours",
    100,
    lambda place: (
        GOOD
        | {
            "pagerank": GOOD["pagerank"]
            + f"\nimport glob, os\nfor file in glob.glob({str(place['submissions'])!r} + '/**', recursive=True)"
            + f" + glob.glob({str(place['out'])!r} + '/**', recursive=True) + [{str(place['mark'])!r}]:\n"
            + "    try:\n        open(file, 'w').write('gone')\n    except OSError:\n        pass\n"
        }
    ),
)
answers_file(
    HOSTILE,
    "tells_the_network",
    100,
    lambda place: (
        GOOD
        | {
            "overlap": GOOD["overlap"]
            + f"\nimport socket\ntry:\n    socket.create_connection(('127.0.0.1', {place['port']}), 1).send(b'hello')\n"
            + "except OSError:\n    pass\n"
        }
    ),
)
answers_file(
    HOSTILE,
    "leaves_a_daemon",
    100,
    GOOD
    | {
        "energy": GOOD["energy"]
        + "\nimport os, time\nif not os.fork():\n    os.setsid()\n    if not os.fork():\n        time.sleep(997)\n    os._exit(0)\n"
    },
)
answers_file(
    HOSTILE,
    "fills_its_disk",
    100,
    GOOD
    | {
        "pagerank": GOOD["pagerank"]
        + "\nfor k in range(40):\n    try:\n        open(f'{k}', 'wb').write(bytes(8 << 20))\n"
        "    except OSError:\n        break\n"
    },
)
answers_file(
    HOSTILE,
    "prints_200_megabytes",
    100,
    GOOD | {"pagerank": GOOD["pagerank"] + "\nfor _ in range(200):\n    print('x' * (1 << 20))\n"},
)
answers_file(
    HOSTILE,
    "a_thousand_displays",
    100,
    GOOD
    | {
        "pagerank": GOOD["pagerank"] + "\nfrom IPython.display import HTML, display\nfor _ in range(1200):\n"
        "    display(HTML('<script>alert(1)</script>'))\n"
    },
)
answers_file(HOSTILE, "=HYPERLINK(1)", 100, GOOD)
answers_file(
    HOSTILE, "<script>alert(1)<", 100, GOOD | {"my_story": "def my_story():\n    return '<script>alert(2)</script>'"}
)
answers_file(HOSTILE, "a name\nwith a newline", 100, GOOD)
answers_file(HOSTILE, "two_cells_in_one_name_" + "x" * 180, 100, GOOD)

# --- hostile: files ---------------------------------------------------------------------------------------------------

edited(
    HOSTILE, "deletes_the_checks", 100, lambda n: n.update(cells=[c for c in n["cells"] if masters.grade_id(c) in GOOD])
)
edited(
    HOSTILE,
    "checks_that_pass",
    0,
    lambda n: [c.update(source="pass") for c in n["cells"] if masters.about(c).get("role") == "check"] and None,
    ZEROS,
)
edited(
    HOSTILE,
    "a_thousand_points",
    70,
    lambda n: (
        [c["metadata"]["nbgrader"].update(points=1000) for c in n["cells"] if "nbgrader" in c["metadata"]] and None
    ),
    GOOD | {"pagerank": ZEROS["pagerank"]},
)
edited(
    HOSTILE,
    "old_schema",
    100,
    lambda n: (
        [c["metadata"]["nbgrader"].update(schema_version=2) for c in n["cells"] if "nbgrader" in c["metadata"]] and None
    ),
)
edited(HOSTILE, "code_in_other_cells", 100, lambda n: n["cells"].insert(0, {**code_cell("import os\nos._exit(0)")}))
edited(
    HOSTILE, "strange_cells", 100, lambda n: n["cells"].extend([None, 3, {}, {"cell_type": "code"}, {"metadata": []}])
)
edited(
    HOSTILE,
    "strange_ids",
    100,
    lambda n: n["cells"].append({**code_cell("1"), "metadata": {"nbgrader": {"grade_id": []}}}),
)
edited(HOSTILE, "no_cells", "rejected", lambda n: n.update(cells=[]))
edited(HOSTILE, "cells_are_text", "rejected", lambda n: n.update(cells="pagerank"))
edited(HOSTILE, "half_a_file", "rejected", lambda n: json.dumps(n)[:4000])
edited(HOSTILE, "deeply_nested", "rejected", lambda n: "[" * 200_000)
edited(HOSTILE, "an_empty_file", "rejected", lambda n: " ")
edited(
    HOSTILE,
    "another_homework",
    "rejected",
    lambda n: n.update(cells=[{**code_cell("x = 1"), "metadata": {"nbgrader": {"grade_id": "gan_loss"}}}]),
)
edited(HOSTILE, "lone_surrogates", 100, lambda n: cell("energy", n).update(source=GOOD["energy"] + "\nx = '\ud800'\n"))


def code_cell(source):
    return {"cell_type": "code", "id": "abc", "metadata": {}, "source": source, "outputs": [], "execution_count": None}


@custom(HOSTILE, "fifty_megabytes_of_outputs", 100)
def write_fifty(folder, place):
    content = notebook(GOOD)
    content["cells"][1].update(
        cell_type="code",
        execution_count=1,
        outputs=[{"output_type": "stream", "name": "stdout", "text": "x" * (50 << 20)}],
    )
    save(content, folder, "fifty_megabytes_of_outputs.ipynb")


@custom(HOSTILE, "format_3", 100)
def write_format_3(folder, place):
    cells = [{**c, "input": c["source"], "language": "python"} for c in notebook(GOOD)["cells"]]
    for c in cells:
        del c["source"]
    save(
        {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}, folder, "format_3.ipynb"
    )


@custom(HOSTILE, "shadows_numpy", 0)
def write_shadows(folder, place):
    (folder / "shadows_numpy").mkdir()
    save(notebook(ZEROS), folder / "shadows_numpy", "hw01.ipynb")
    for name in ("numpy.py", "sitecustomize.py", "conftest.py", "t2i_course.py", "pytest.ini"):
        save("import os\nos._exit(0)\n", folder / "shadows_numpy", name)


@custom(HOSTILE, "a_link", "rejected")
def write_link(folder, place):
    (folder / "a_link.ipynb").symlink_to(folder / "good_1.ipynb")


@custom(HOSTILE, "links_inside", "rejected")
def write_links(folder, place):
    (folder / "links_inside").mkdir()
    (folder / "links_inside" / "hw01.ipynb").symlink_to(folder / "good_1.ipynb")
    (folder / "links_inside" / "up").symlink_to(folder)


@custom(HOSTILE, "a_pipe", "rejected")
def write_pipe(folder, place):
    os.mkfifo(folder / "a_pipe.ipynb")


@custom(HOSTILE, "an_empty_zip", "rejected")
def write_empty_zip(folder, place):
    zipfile.ZipFile(folder / "an_empty_zip.zip", "w").close()


@custom(HOSTILE, "no_zip", "rejected")
def write_no_zip(folder, place):
    (folder / "no_zip.zip").write_bytes(b"PK\x03\x04" + random.Random(0).randbytes(500))


@custom(HOSTILE, "a_zip_bomb", "rejected")
def write_bomb(folder, place):
    with zipfile.ZipFile(folder / "a_zip_bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(5):
            archive.writestr(f"{k}.ipynb", bytes(99 << 20))


@custom(HOSTILE, "a_zip_that_climbs", 100)
def write_climbing(folder, place):
    with zipfile.ZipFile(folder / "a_zip_that_climbs.zip", "w") as archive:
        archive.writestr("../../climbed.ipynb", "gone")
        archive.writestr("/tmp/climbed.ipynb", "gone")
        archive.writestr("hw01.ipynb", json.dumps(notebook(GOOD)))


@custom(HOSTILE, "a_picture", "rejected")
def write_picture(folder, place):
    (folder / "a_picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")


@custom(HOSTILE, "an_empty_folder", "rejected")
def write_empty_folder(folder, place):
    (folder / "an_empty_folder").mkdir()


@custom(HOSTILE, "bytes_that_are_no_text", "rejected")
def write_bytes(folder, place):
    (folder / "bytes_that_are_no_text.ipynb").write_bytes(json.dumps(notebook(GOOD)).encode("utf-16"))


# --- clumsy, and right ------------------------------------------------------------------------------------------------


def more(exercise, before="", after=""):
    return GOOD | {exercise: f"{before}{GOOD[exercise]}\n{after}\n"}


def inside(exercise, code):
    """The solution with lines of code at the beginning of its function."""
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    return GOOD | {exercise: GOOD[exercise].replace("    ### BEGIN SOLUTION\n", lines)}


RIGHT_ANSWERS = {
    "prints": inside("pagerank", "print('debug', graph, picturability)"),
    "warns": inside("overlap", "import warnings\nwarnings.warn('careful')"),
    "progress_bar": inside("energy", "from tqdm.auto import tqdm\nfor _ in tqdm(range(5)): pass"),
    "writes_to_stderr": inside("energy", "import sys\nprint('so far', file=sys.stderr, flush=True)"),
    "logs": inside("pagerank", "import logging\nlogging.basicConfig(level=0)\nlogging.error('here')"),
    "magics": more("pagerank", "%matplotlib inline\n", "%timeit -n 1 -r 1 1 + 1\n!echo hello"),
    "times_the_cell": more("overlap", "%%time\n"),
    "seeds_the_world": inside("monte_carlo_step", "import random\nnp.random.seed(0)\nrandom.seed(0)"),
    "takes_names_of_the_checks": more("pagerank", "", "check = 3\nvalue = rng = show = draw = None\nexpected = 'x'"),
    "clobbers_numpy_after_use": GOOD
    | {
        "overlap": GOOD["overlap"].replace("np.", "numpy.").replace("def ov", "import numpy\n\n\ndef ov", 1)
        + "\nnp = 5\n"
    },
    "star_imports": more("energy", "from numpy import *\nfrom math import *\n"),
    "tests_itself_and_fails": more("pagerank", "", "assert False, 'still to do'"),
    "ends_the_cell_early": more("energy", "", "raise SystemExit"),
    "asks_for_input": more("energy", "", "name = input('your name? ')"),
    "only_if_main": more("overlap", "", "if __name__ == '__main__':\n    print(overlap(np.ones((2, 2)), np.ones(2)))"),
    "compares_with_the_library": more(
        "pagerank",
        "",
        "from t2i_course.layout import keyphrases\nprint(keyphrases.pagerank(np.ones((2, 2)), np.ones(2)))",
    ),
    "a_temporary_file": inside(
        "energy",
        "import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'x')\nopen('note.txt', 'w').write('x')",
    ),
    "windows_line_ends": {name: source.replace("\n", "\r\n") for name, source in GOOD.items()},
    "other_alphabets": more("pagerank", "# Größe, 大きさ\n", "größe = 'é' + '大'"),
    "a_lambda": GOOD
    | {
        "overlap": "overlap = lambda p, s: (lambda low, high: np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low),"
        " 0, None).prod(-1) * (1 - np.eye(len(s))))(p - s[:, None] / 2, p + s[:, None] / 2)"
    },
    "returns_lists": GOOD | {"overlap": GOOD["overlap"].replace("return area", "return area.tolist()")},
    "single_precision": GOOD | {"pagerank": GOOD["pagerank"].replace("* v)", "* v).astype(np.float32)")},
    "a_zero_dimensional_array": GOOD | {"energy": GOOD["energy"].replace("return float(", "return np.asarray(")},
    "an_object_that_can_be_called": GOOD
    | {
        "energy": GOOD["energy"].replace("def energy", "def _energy") + "\nclass E:\n    def __call__(self, *a, **k):\n"
        "        return _energy(*a, **k)\n\n\nenergy = E()\n"
    },
    "marks_of_nbval": more("pagerank", "# NBVAL_SKIP\n", "# NBVAL_RAISES_EXCEPTION"),
    "draws_a_figure": inside("pagerank", "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"),
    "uses_threads": inside(
        "energy",
        "from concurrent.futures import ThreadPoolExecutor as T\nwith T(4) as t:\n    list(t.map(abs, range(9)))",
    ),
    "runs_a_command": inside("pagerank", "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(1)'])"),
    "is_slow": more("pagerank", "", "import time\ntime.sleep(1)"),
    "counts_its_calls": GOOD
    | {
        "energy": "calls = 0\n"
        + GOOD["energy"].replace("    ### BEGIN SOLUTION\n", "    global calls\n    calls += 1\n")
    },
}
for name, answers in RIGHT_ANSWERS.items():
    answers_file(CLUMSY, name, 100, answers)


def copied(after, source):
    def edit(content):
        where = next(k for k, c in enumerate(content["cells"]) if masters.grade_id(c) == "pagerank")
        copy = json.loads(json.dumps(content["cells"][where]))
        copy["source"] = source
        content["cells"].insert(where + after, copy)

    return edit


edited(CLUMSY, "a_copy_of_the_untouched_cell_below", 100, copied(1, cell("pagerank", STUDENT)["source"]))
edited(CLUMSY, "an_older_attempt_above", 100, copied(0, ZEROS["pagerank"]))
edited(CLUMSY, "cells_in_reverse", 100, lambda n: n.update(cells=n["cells"][::-1]))
edited(CLUMSY, "a_cell_became_markdown", 100, lambda n: cell("energy", n).update(cell_type="markdown"))
edited(CLUMSY, "metadata_lost", 100, lambda n: [c.update(metadata={}) for c in n["cells"]] and None)
edited(CLUMSY, "ids_renamed", 100, lambda n: cell("overlap", n)["metadata"]["nbgrader"].update(grade_id="overlap-copy"))
edited(CLUMSY, "same_cell_ids", 100, lambda n: [c.update(id="same") for c in n["cells"]] and None)
edited(
    CLUMSY,
    "answer_in_a_new_cell",
    100,
    lambda n: n["cells"].append(code_cell(GOOD["pagerank"])),
    {name: source for name, source in GOOD.items() if name != "pagerank"},
)


@custom(CLUMSY, "with_a_byte_order_mark", 100)
def write_bom(folder, place):
    save(notebook(GOOD), folder, "with_a_byte_order_mark.ipynb", encoding="utf-8-sig")


@custom(CLUMSY, "two_versions_in_a_folder", 100)
def write_versions(folder, place):
    (folder / "two_versions_in_a_folder" / ".ipynb_checkpoints").mkdir(parents=True)
    save(notebook({}), folder / "two_versions_in_a_folder", "hw01.ipynb")
    save(notebook(GOOD), folder / "two_versions_in_a_folder", "hw01 (1).ipynb")
    save(notebook(ZEROS), folder / "two_versions_in_a_folder" / ".ipynb_checkpoints", "hw01-checkpoint.ipynb")


@custom(CLUMSY, "a_zip_with_a_folder", 100)
def write_zip(folder, place):
    with zipfile.ZipFile(folder / "a_zip_with_a_folder.zip", "w") as archive:
        archive.writestr("my work/hw01 final FINAL.ipynb", json.dumps(notebook(GOOD)))
        archive.writestr("__MACOSX/my work/._hw01.ipynb", "x")


PLAIN: list[tuple] = []
answers_file(PLAIN, "good_1", 100, GOOD)
answers_file(PLAIN, "blank", 0, {})
answers_file(
    PLAIN, "half_done", 50, {"pagerank": GOOD["pagerank"], "overlap": GOOD["overlap"], "energy": ZEROS["energy"]}
)
answers_file(
    PLAIN,
    "one_term_wrong",
    90,
    GOOD | {"energy": GOOD["energy"].replace("- weights", "+ weights").replace("positions - 0.5", "positions")},
)

ALL = HOSTILE + CLUMSY + PLAIN
