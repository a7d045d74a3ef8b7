"""What Linux offers to shut a process in, without a container and without being root.

Four levels, the best first; a machine gets the best one under which the master's own solution runs:

    full        namespaces and Landlock
    namespaces  own users, processes, network, mounts: no network, no view of other processes, the tree ends as one
    landlock    only allowed files may be read or written; no TCP (kernel 6.7), no signals to outside (kernel 6.12)
    limits      CPU seconds, memory, file size, processes, and the process tree is killed: all that macOS has

Every level has the limits. Where the grader runs as root, the student's process becomes the user `nobody` first.
What each level does not stop is said in assignments/README.md.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

LINUX = sys.platform == "linux"
LEVELS = ("full", "namespaces", "landlock", "limits")
NOBODY = 65534

# from linux/sched.h, linux/mount.h, linux/prctl.h
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38

# from linux/landlock.h: every access to files that an old or a new kernel knows, and those that a plain file can have
ACCESS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
OF_A_FILE = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)
READ = EXECUTE | READ_FILE | READ_DIR

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def linux() -> tuple[int, int]:
    """Version of the kernel: (6, 8); (0, 0) elsewhere."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release) if LINUX else None
    return (int(found[1]), int(found[2])) if found else (0, 0)


def prctl(option: int, value: int) -> None:
    """A request about this process to the kernel; nothing where there is no such call (macOS)."""
    if LINUX:
        _checked(_libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def die_with_parent() -> None:
    """This process is killed when its parent ends, however that ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def become_nobody() -> None:
    """Give root away for good."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    prctl(PR_SET_DUMPABLE, 1)  # else /proc/self still belongs to root, and the maps of the next step cannot be written


def drop_capabilities() -> None:
    """Give away all that root may do, in namespaces too (such as taking mounts away), now and in programs it starts."""
    if not LINUX:
        return
    for capability in range(64):
        _libc().prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)  # fails for those that do not exist
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _checked(_libc().capset(header, nothing), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def enter_namespaces() -> None:
    """Own users, mounts, network (none), messages and host name now; the next child is the first of its processes.

    When that first process ends, the kernel ends all others, whatever they did to get away.
    """
    uid, gid = os.getuid(), os.getgid()
    _checked(_libc().unshare(NEWUSER | NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def mount(source: str, target: str | Path, kind: str, flags: int, options: str = "") -> None:
    """The system call mount(2)."""
    arguments = (text.encode() or None for text in (source, str(target), kind))
    _checked(_libc().mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def make_read_only() -> None:
    """Of what is mounted now only devices can be written to, in this mount namespace. Needs Linux 5.12."""
    if linux() >= (5, 12):
        everywhere = struct.pack("QQQQ", MS_RDONLY, 0, 0, 0)  # attributes that are set; the rest stays as it is
        _checked(_libc().syscall(442, -100, b"/", 0x8000, everywhere, ctypes.c_size_t(32)), "mount_setattr /")


def mount_scratch(target: str | Path, size: int) -> None:
    """A fresh folder in memory, of at most `size` bytes and 10,000 files, which only this mount namespace sees."""
    mount("scratch", target, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},nr_inodes=10000,mode=0700")


def conceal(paths: Iterable[str | Path], needed: Iterable[str | Path]) -> None:
    """Folders become empty and files too, in this mount namespace; not those that something `needed` lies in."""
    keep = [Path(path) for path in needed]
    for path in map(Path, paths):
        if path.is_dir() and not any(below.is_relative_to(path) for below in keep):
            mount("empty", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=0,mode=0755")
        elif path.is_file():
            mount("/dev/null", path, "", MS_BIND)


def mount_proc() -> bool:
    """A /proc that shows only the processes of this namespace; False where the kernel does not allow it."""
    try:
        _checked(_libc().unshare(NEWNS), "unshare")  # the parent keeps its view
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:
        return False
    return True


# --- Landlock ---------------------------------------------------------------------------------------------------------


def landlock_abi() -> int:
    """Which version of Landlock the kernel has, 0 for none."""
    if not LINUX:
        return 0
    return max(0, _libc().syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def landlock(read: Iterable[str | Path], write: Iterable[str | Path]) -> None:
    """From now on this process and its children may read below `read`, do all below `write`, and nothing elsewhere.

    A kernel that can also takes away TCP, and signals and abstract sockets to processes outside.
    """
    abi, libc = landlock_abi(), _libc()
    if not abi:
        raise OSError("this kernel has no Landlock")
    everything = (1 << ACCESS_BY_ABI[min(abi, 5)]) - 1
    attributes = struct.pack("QQQ", everything, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked(libc.syscall(444, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)), "landlock ruleset")
    for paths, access in ((read, READ), (write, everything)):
        for path in paths:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue  # what is not there, or not ours to see, need not be allowed
            allowed = access if os.path.isdir(path) else access & OF_A_FILE & everything
            rule = struct.pack("=Qi", allowed, place)
            _checked(libc.syscall(445, ruleset, 1, rule, ctypes.c_uint32(0)), f"landlock rule {path}")
            os.close(place)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _checked(libc.syscall(446, ruleset, ctypes.c_uint32(0)), "landlock")
    os.close(ruleset)


def all_but(root: str | Path, hidden: Sequence[Path]) -> list[Path]:
    """`root`, or the smallest set of paths below it that leaves out the `hidden` ones."""
    root = Path(root)
    inside = [path for path in hidden if path.is_relative_to(root)]
    if not inside:
        return [root]
    if root in inside or not root.is_dir():
        return []
    return [kept for child in sorted(root.iterdir()) for kept in all_but(child, inside)]


# --- limits -----------------------------------------------------------------------------------------------------------


def limit(*, cpu: float, memory: int, file_size: int, processes: int) -> None:
    """Limits of one process: CPU seconds, bytes of memory, bytes of a file; and how many processes and threads more."""
    import resource

    limits = {
        "RLIMIT_CPU": int(cpu) + 1,
        "RLIMIT_DATA" if LINUX else "RLIMIT_AS": memory,  # AS also counts libraries, gigabytes of them
        "RLIMIT_FSIZE": file_size,
        "RLIMIT_NPROC": processes,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_CORE": 0,
    }
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):  # macOS knows RLIMIT_AS but does not set it
            if LINUX:
                raise


def processes_of_user() -> int:
    """How many threads the user of this process has now; the limit of processes counts them all."""
    import psutil

    mine = [p.info for p in psutil.process_iter(["uids", "num_threads"]) if p.info["uids"]]
    return sum(info["num_threads"] or 1 for info in mine if info["uids"].real == os.getuid())
