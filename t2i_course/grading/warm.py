"""A warm process: it has imported all that a notebook needs, and forks a confined copy of itself for each submission.

Starting Python, pytest, a kernel and matplotlib takes longer than running a homework. They are started once. Nothing of
a student is ever executed in the warm process itself, nor does it read a submission or a result: its child does, the
waiter. So no two students share any state, and no memory that a student's process inherits holds another one's answers
or values, nor the master's.

    grader ── warm ─┬─ waiter    reads the notebook, answers the grader, removes what is left
     (secrets)      │    └─ keeper    watches time and memory, collects what the others report, ends them
                    │         └─ driver   runs pytest --nbval     first process of its namespace: when it ends, all end
                    │              └─ kernel  runs the student's cells, under every limit that there is
                    └─ … the next submission

The grader talks to it in lines of JSON: first `{"setup", "holes", "level", "root", "hidden", "concealed", "limits"}`,
then one notebook after the other. Each answer is `{"cells": [...], "checks": [...], "end": "", "seconds": 1.2}`. What
comes out of a kernel is JSON all the way; nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import secrets
import select
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from queue import Empty

import psutil
import zmq
from ipykernel.iostream import OutStream
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from nbval.kernel import RunningKernel

from . import confine, runner

SCRATCH = Path("/dev/shm")  # is there on every Linux; a submission sees a fresh one, in memory
MOST_VALUES, MOST_RECORD = 4 << 20, 24 << 20  # bytes that a submission may report
MOST_PRINTED = 100_000  # characters of what a cell prints that leave the kernel
OVER = 77  # with which a waiter ends that found nothing to read
FAILED = {"cells": [], "checks": [], "end": "", "failed": "the process that watches over a submission was ended"}


# --- the warm process -------------------------------------------------------------------------------------------------


def main() -> None:
    confine.prctl(confine.PR_SET_CHILD_SUBREAPER, 1)  # whatever loses its parent becomes ours, and is ended
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the grader, which then closes our input
    settings = json.loads(_line())
    warm_up(settings["setup"], settings["holes"])
    _write(answers, {"ready": True})
    while serve(settings, answers):
        pass


def serve(settings: dict, answers: int) -> bool:
    """One submission, by a child; False at the end of our input."""
    select.select([0], [], [])  # until there is a notebook, or the end
    waiter = os.fork()
    if not waiter:
        _never_return(wait_for_one, settings, answers)
    code = os.waitstatus_to_exitcode(os.waitpid(waiter, 0)[1])
    end_all_children()
    if code not in (0, OVER):  # it has been killed, and nobody knows what it has written: begin anew
        sys.exit("the process that waits for a submission was ended")
    return code != OVER


def wait_for_one(settings: dict, answers: int) -> None:
    """Read a notebook, run it, and write what came of it."""
    confine.die_with_parent()
    confine.prctl(confine.PR_SET_CHILD_SUBREAPER, 1)
    line = _line()
    if not line:
        os._exit(OVER)
    _write(answers, one_submission(json.loads(line)["notebook"], settings, answers))


def _line() -> str:
    """One line of our input, "" at its end. Not by sys.stdin, whose buffer would be forked along."""
    parts = bytearray()
    while not parts.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)  # the grader sends a line only after an answer, so this ends with a line
        if not chunk:
            return ""
        parts += chunk
    return parts.decode()


def _write(descriptor: int, data: dict) -> None:
    content = memoryview(json.dumps(data).encode() + b"\n")
    while content:
        content = content[os.write(descriptor, content) :]


def warm_up(setup: str, holes: list[str]) -> None:
    """Import what every kernel and the master's setup cell need, then take the library's own answers out."""
    import importlib

    for module in ("ipykernel.kernelapp", "matplotlib.pyplot", "matplotlib_inline.backend_inline", "nbval.plugin"):
        importlib.import_module(module)
    from . import checks

    exec(compile(setup, "<setup>", "exec"), {"__name__": "setup"})
    for name in holes:
        checks.make_hole(name)
    gc.collect()
    gc.freeze()  # children share the memory of what is here already for longer, as no collection touches it


def one_submission(notebook: str, settings: dict, answers: int) -> dict:
    """Run one notebook in a keeper of its own; whatever happens to it, an answer comes back and nobody stays behind."""
    ours, its = os.pipe()
    folder = SCRATCH if settings["level"] in ("full", "namespaces") else Path(tempfile.mkdtemp(prefix="t2i-"))
    start = time.monotonic()
    keeper = os.fork()
    if not keeper:
        _never_return(keep, notebook, settings, folder, its, close=(0, answers, ours))
    os.close(its)
    parts, deadline = [], start + settings["limits"]["notebook_seconds"] + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([0, ours], [], [], 1.0)
        if 0 in ready:  # the grader has gone away: so do we, with all that we started
            break
        if ours in ready:
            chunk = os.read(ours, 1 << 20)
            if not chunk:
                break
            parts.append(chunk)
    os.close(ours)
    end_all_children()
    if folder != SCRATCH:  # by programs that no name is too long for, and no folder too deep
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, str(folder)], capture_output=True)
    try:
        result = json.loads(b"".join(parts))
    except ValueError:
        result = FAILED
    return result | {"seconds": round(time.monotonic() - start, 2)}


def _never_return(function, *arguments, close=()) -> None:
    """The life of a forked child: it must not fall back into its parent's code."""
    try:
        for descriptor in close:
            os.close(descriptor)
        function(*arguments)
    except BaseException as error:  # told to whoever looks for the reason
        os.write(2, f"{function.__name__}: {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def end_all_children() -> None:
    """Kill every process below this one, also those that daemonised, until none is left."""
    me = psutil.Process()
    while True:
        strays = [] if confine.LINUX else _strays(me)
        for process in [*me.children(recursive=True), *strays]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            if not strays:
                return
        time.sleep(0.005)


def _strays(me: psutil.Process) -> list[psutil.Process]:
    """Processes with the mark of our environment that are not our parents: where orphans go elsewhere (macOS)."""
    known, found = {me.pid, *(parent.pid for parent in me.parents())}, []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in known and process.environ().get("T2I_WARM") == os.environ["T2I_WARM"]:
                found.append(process)
    return found


# --- the keeper -------------------------------------------------------------------------------------------------------


def keep(notebook: str, settings: dict, folder: Path, report: int) -> None:
    """Make the place, start the driver in it, and end it when its time or memory is used up."""
    confine.die_with_parent()
    os.setsid()
    level, limits = settings["level"], settings["limits"]
    if level not in confine.LEVELS:
        raise ValueError(f"there is no isolation {level!r}")
    if settings["root"]:
        if not _in_namespaces(settings):
            os.chown(folder, confine.NOBODY, confine.NOBODY)
        confine.become_nobody()
        confine.die_with_parent()  # a change of user takes it back
    if _in_namespaces(settings):
        confine.enter_namespaces()
        confine.make_read_only()
        confine.conceal([*settings["hidden"], *settings["concealed"]], needed_paths())
        confine.mount_scratch(folder, limits["disk"])
    else:
        confine.prctl(confine.PR_SET_CHILD_SUBREAPER, 1)
    (folder / "home").mkdir()
    (folder / "notebook.ipynb").write_text(notebook)

    cells, cells_in = os.pipe()
    checks, checks_in = os.pipe()
    driver = os.fork()
    if not driver:
        _never_return(drive, settings, folder, cells_in, checks_in, close=(report, cells, checks))
    os.close(cells_in)
    os.close(checks_in)
    received, end = collect(cells, checks, driver, folder, settings)
    if end:
        os.kill(driver, signal.SIGKILL)  # in namespaces, that is the end of all
    end_all_children()
    _write(report, {"cells": _lines(received[cells]), "checks": _lines(received[checks]), "end": end})


def _in_namespaces(settings: dict) -> bool:
    return settings["level"] in ("full", "namespaces")


def collect(cells: int, checks: int, driver: int, folder: Path, settings: dict) -> tuple[dict[int, bytearray], str]:
    """Read both pipes until the driver ends or must be ended; and why it was ended, if it was."""
    most, limits = {cells: MOST_RECORD, checks: MOST_VALUES}, settings["limits"]
    received = {descriptor: bytearray() for descriptor in most}
    deadline, open_pipes = time.monotonic() + limits["notebook_seconds"], set(most)
    next_look, cell, before = 0.0, 0, 0.0
    while True:
        ready, _, _ = select.select(list(open_pipes), [], [], 0.02 if not open_pipes else 0.2)
        for descriptor in ready:
            chunk = os.read(descriptor, 1 << 16)
            received[descriptor] += chunk
            if not chunk or len(received[descriptor]) > most[descriptor]:  # what comes after it is thrown away
                open_pipes.discard(descriptor)
                if chunk:
                    os.close(descriptor)
        if os.waitpid(driver, os.WNOHANG)[0]:
            for descriptor in open_pipes:  # what was still on its way; a daemon may hold the pipe open
                os.set_blocking(descriptor, False)
                try:
                    while len(received[descriptor]) <= most[descriptor] and (chunk := os.read(descriptor, 1 << 16)):
                        received[descriptor] += chunk
                except BlockingIOError:
                    pass
            return received, ""
        now = time.monotonic()
        if now > deadline:
            return received, f"took more than {limits['notebook_seconds']:g} seconds"
        if now > next_look:
            next_look = now + 0.2
            processes, used, spent = look(driver, limits["processes"])
            if received[cells].count(b"\n") > cell:  # a cell is over, and another one begins
                cell, before = received[cells].count(b"\n"), spent
            if processes > limits["processes"]:
                return received, f"started more than {limits['processes']} processes"
            if used > 2 * limits["memory"]:
                return received, f"used more than {2 * limits['memory'] >> 20} MiB of memory with all its processes"
            for most_spent, since in ((limits["cell_cpu_seconds"], before), (limits["notebook_cpu_seconds"], 0.0)):
                if spent - since > most_spent:
                    return received, f"used more than {most_spent:g} seconds of the CPU with all its processes"
            if not _in_namespaces(settings) and size_of(folder, limits["disk"]) > limits["disk"]:
                return received, f"wrote more than {limits['disk'] >> 20} MiB of files"


def look(driver: int, most: int) -> tuple[int, int, float]:
    """How many processes there are below us besides the driver, and their bytes of memory and seconds of the CPU.

    Orphans are among them: they are brought to us, or to the driver. More than `most` processes are not looked at:
    where only this look limits them, there are ever more of them.
    """
    found = [process for process in psutil.Process().children(recursive=True) if process.pid != driver]
    memory, seconds, files = 0, 0.0, {}
    for process in found if len(found) <= most else ():
        with contextlib.suppress(psutil.Error):  # one that has just ended
            times = process.cpu_times()
            seconds += times.user + times.system
            seconds += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            memory += process.memory_info().rss
            files |= nameless_files(process.pid)
    return len(found), memory + sum(files.values()), seconds


def nameless_files(pid: int) -> dict[tuple[int, int], int]:
    """Device and number of each file that a process has open and that has no name (any more) -> its bytes. Linux.

    They may lie in memory, without being part of any process's own.
    """
    found = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(entry.path).endswith(" (deleted)"):
                    about = os.stat(entry.path)
                    if stat.S_ISREG(about.st_mode):
                        found[about.st_dev, about.st_ino] = about.st_blocks * 512
    return found


def size_of(folder: Path, enough: int) -> int:
    """Bytes of the files below a folder, or more than `enough` if they are too many to count or hidden."""
    size, waiting = 0, [os.fspath(folder)]
    for _ in range(20_000):
        if not waiting or size > enough:
            return size
        place = waiting.pop()
        try:
            about = os.lstat(place)
            size += about.st_blocks * 512
            if stat.S_ISDIR(about.st_mode):
                waiting += [entry.path for entry in os.scandir(place)]
        except FileNotFoundError:  # just removed
            continue
        except OSError:
            return enough + 1
    return enough + 1


def _lines(content: bytearray) -> list[dict]:
    """The lines of JSON in what was received; whatever is not one is left out."""
    found = []
    for line in bytes(content).split(b"\n"):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            found.append(data)
    return found


# --- the driver -------------------------------------------------------------------------------------------------------


def needed_paths() -> list[Path]:
    """What Python, the course and its data need to be read; nothing else is readable under Landlock."""
    from ..paths import DATA

    package = Path(__file__).resolve().parents[1]
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    etc = ("ld.so.cache", "localtime", "fonts", "passwd", "group", "nsswitch.conf", "alternatives")
    system = ["/usr", "/lib", "/lib64", "/bin", *(f"/etc/{name}" for name in etc), *confine.DEVICES]
    return [*map(Path, sorted(prefixes)), *map(Path, system), package, DATA]


def drive(settings: dict, folder: Path, cells: int, checks: int) -> None:
    """Run the notebook by nbval; the kernel that it asks for is a process that has been forked already."""
    confine.die_with_parent()
    for descriptor in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    move_into(folder)
    kept = [*map(Path, settings["hidden"]), *map(Path, settings["concealed"])]
    readable = [path for root in needed_paths() for path in confine.all_but(root, kept)]
    # A namespace counts its own, since Linux 5.14.
    room = 0 if _in_namespaces(settings) and confine.linux() >= (5, 14) else confine.processes_of_user()
    if _in_namespaces(settings) and confine.mount_proc():
        readable.append(Path("/proc"))
    writable = [folder, "/dev/null"]
    if settings["level"] in ("full", "landlock"):
        confine.landlock(readable, writable)
    limits = settings["limits"]
    go, go_in = os.pipe()
    kernel = os.fork()
    if not kernel:
        _never_return(be_kernel, settings, readable, folder, go, checks, room, close=(cells, go_in))
    os.close(go)
    os.close(checks)
    with contextlib.suppress(OSError, ValueError):  # macOS does not set it
        resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"],) * 2)  # a flood of messages ends here

    import nbval.plugin

    ForkedKernel.process, ForkedKernel.go, ForkedKernel.folder = Forked(kernel), go_in, folder
    nbval.plugin.RunningKernel = ForkedKernel
    runner.run(folder / "notebook.ipynb", lambda cell: _write(cells, cell), limits["cell_seconds"])


def move_into(folder: Path) -> None:
    """Make a folder the current one, the home, and the place of temporary files and caches."""
    for name in ("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "T2I_CACHE", "JUPYTER_RUNTIME_DIR"):
        os.environ[name] = str(folder)
    tempfile.tempdir = None
    os.chdir(folder)


class Forked:
    """What nbval asks of the manager of a kernel, for a child of this process."""

    kernel_spec = None

    def __init__(self, pid: int):
        self.pid, self.ended = pid, False

    def is_alive(self) -> bool:
        if not self.ended:
            self.ended = bool(os.waitpid(self.pid, os.WNOHANG)[0])
        return not self.ended

    def interrupt_kernel(self) -> None:
        if self.is_alive():
            os.kill(self.pid, signal.SIGINT)

    def shutdown_kernel(self, now: bool = True) -> None:
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.ended = True


class ForkedKernel(RunningKernel):
    """nbval's own conversation with a kernel, for one that waits in a forked process.

    It notices at once when the kernel dies, and it hears at most MOST_PRINTED characters of a cell.
    """

    process: Forked
    go: int
    folder: Path

    def __init__(self, kernel_name, cwd=None, startup_timeout=60):
        file, _ = write_connection_file(
            str(self.folder / "connection.json"),
            transport="ipc",  # files, as there is no network
            ip=str(self.folder / "home" / ".kernel"),
            key=secrets.token_hex(16).encode(),
        )
        os.write(self.go, file.encode())
        self.km, self.heard = self.process, 0
        context = zmq.Context()
        context.rcvhwm = 0  # messages queue up rather than get lost: a lost one looks like a cell that never ends
        self.kc = BlockingKernelClient(connection_file=file, context=context)
        self.kc.load_connection_file()
        self.kc.start_channels()
        self.kc.wait_for_ready(timeout=startup_timeout)
        self._ensure_iopub_up()

    def execute_cell_input(self, cell_input, allow_stdin=None):
        self.heard = 0
        return super().execute_cell_input(cell_input, allow_stdin)

    def get_message(self, stream, timeout=None):
        end = time.monotonic() + (3600 if timeout is None else timeout)
        while True:
            try:
                message = super().get_message(stream, min(0.25, max(0, end - time.monotonic())))
            except Empty:
                if time.monotonic() >= end or not self.is_alive():
                    raise
                continue
            if message["msg_type"] == "stream":
                text = message["content"]["text"] = str(message["content"].get("text"))[: MOST_PRINTED - self.heard]
                self.heard += len(text)
            return message

    def stop(self):
        self.km.shutdown_kernel()
        self.kc.stop_channels()


# --- the kernel -------------------------------------------------------------------------------------------------------


def be_kernel(settings: dict, readable: list, folder: Path, go: int, checks: int, room: int) -> None:
    """Take away all that the student's code must not have, then be a Jupyter kernel."""
    confine.die_with_parent()
    os.setsid()  # so that Linux shares the CPU out between what runs here and what watches it, however many run here
    home, limits = folder / "home", settings["limits"]
    os.dup2(0, 2)
    connection = os.read(go, 4096).decode()
    os.close(go)
    move_into(home)
    os.environ["T2I_VALUES"] = str(checks)
    if settings["level"] in ("full", "landlock"):
        confine.landlock([*readable, folder], [home, "/dev/null"])
    confine.drop_capabilities()
    confine.limit(
        cpu=limits["notebook_cpu_seconds"],
        memory=limits["memory"],
        file_size=limits["disk"],
        processes=room + limits["processes"],
    )

    from ipykernel.kernelapp import IPKernelApp

    class App(IPKernelApp):
        def init_iopub(self, context):
            context.sndhwm = 0  # see rcvhwm
            super().init_iopub(context)

    app = App.instance(connection_file=connection, outstream_class="t2i_course.grading.warm.BriefStream")
    app.initialize(["--HistoryManager.enabled=False", "--log-level=50"])
    app.shell.events.register("pre_run_cell", lambda info: BriefStream.written.clear())
    app.start()


class BriefStream(OutStream):
    """stdout and stderr of a kernel, of which only the beginning is sent; printing a lot is no sin."""

    written: dict[str, int] = {}

    def write(self, string: str) -> int | None:
        before = self.written.get(self.name, 0)
        if before < MOST_PRINTED:
            self.written[self.name] = before + len(string)
            super().write(string[: MOST_PRINTED - before])
        elif not isinstance(string, str):
            return super().write(string)  # which says what is wrong with that
        return len(string)


if __name__ == "__main__":
    from t2i_course.grading import warm  # under its own name, so that the kernel finds its stream class

    warm.main()
