"""Make the masters (`hwNN_name/hwNN_name.ipynb`) from their text sources, where these have changed.

    python assignments/make.py

A source is a Python file in jupytext's percent format; assignments/README.md says how to write one.
"""

import json
from pathlib import Path

from t2i_course.grading import masters
from t2i_course.paths import write_atomically


def main() -> None:
    for source in sorted(Path(__file__).parent.glob("hw*/hw*.py")):
        notebook = masters.build(source)
        masters.audit(masters.Master(notebook), masters.student_version(masters.Master(notebook)))
        content = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        target = source.with_suffix(".ipynb")
        if not target.exists() or target.read_text(encoding="utf-8") != content:
            write_atomically(target, content.encode())
            print(f"made {target.name}")


if __name__ == "__main__":
    main()
