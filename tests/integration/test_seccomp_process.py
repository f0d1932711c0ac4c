"""A process under the filter of system calls: what ordinary programs do works, what reaches into the kernel or others does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import PROJECT

FILTERED = f"""
import sys
sys.path.append({str(PROJECT / "src")!r})
from squib.guest import libc, seccomp
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
libc.set_seccomp_filter(seccomp.program())
"""
WORKS = {
    "threads": "import threading\nt = threading.Thread(target=print, args=('ok',)); t.start(); t.join()",
    "asyncio": """
import asyncio, socket
async def main():
    async def serve(reader, writer):
        writer.write(await reader.read(2)); writer.close()
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b'ok'); print((await reader.read(2)).decode())
    process = await asyncio.create_subprocess_exec('/bin/true'); assert await process.wait() == 0
    await asyncio.to_thread(print, end='')
    await asyncio.get_running_loop().getaddrinfo('localhost', 80)
asyncio.run(main())
""",
    "subprocess": "import subprocess\nprint(subprocess.run(['/bin/echo', 'ok'], capture_output=True, text=True).stdout, end='')",
    "a shell": "import os\nos.system('echo ok | cat')",
    "multiprocessing": """
import multiprocessing
def work(n): return n * n
for way in ('fork', 'spawn'):
    with multiprocessing.get_context(way).Pool(2) as pool:
        assert pool.map(abs, [1, -2]) == [1, 2]
lock = multiprocessing.Lock()
with lock: pass
from multiprocessing import shared_memory
memory = shared_memory.SharedMemory(create=True, size=8); memory.close(); memory.unlink()
print('ok')
""",
    "processes by executor": """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
with ProcessPoolExecutor(1) as pool: assert pool.submit(abs, -1).result() == 1
with ThreadPoolExecutor(4) as pool: print(pool.submit(lambda: 'ok').result())
""",
    "sqlite": """
import sqlite3, tempfile
with tempfile.TemporaryDirectory() as folder:
    db = sqlite3.connect(folder + '/x'); db.execute('pragma journal_mode=wal'); db.execute('pragma mmap_size=1000000')
    db.execute('create table t(x)'); db.execute("insert into t values('ok')"); db.commit()
    print(db.execute('select x from t').fetchone()[0])
""",
    "descriptors": """
import os, select, signal, mmap, fcntl, tempfile, random, secrets
fd = os.memfd_create('x'); os.write(fd, b'ok'); m = mmap.mmap(fd, 2); event = os.eventfd(1); os.eventfd_read(event)
pid = os.getpid(); pidfd = os.pidfd_open(pid); signal.pidfd_send_signal(pidfd, 0)
secrets.token_bytes(8); os.sched_getaffinity(0); os.statvfs('/'); os.getloadavg(); os.cpu_count(); os.getpriority(os.PRIO_PROCESS, 0)
with tempfile.NamedTemporaryFile() as f: fcntl.flock(f, fcntl.LOCK_EX); os.posix_fallocate(f.fileno(), 0, 10); os.sendfile(f.fileno(), fd, 0, 2)
with tempfile.TemporaryDirectory() as d: os.mkfifo(d + '/fifo'); os.symlink('a', d + '/b'); os.rename(d + '/b', d + '/c'); list(os.scandir(d))
print(m[:].decode())
""",
    "a pseudo-terminal": "import os\na, b = os.openpty(); os.write(b, b'ok\\n'); print(os.read(a, 4).decode().strip())",
    "sockets": """
import socket
a, b = socket.socketpair(); a.send(b'ok'); print(b.recv(2).decode())
socket.socket(socket.AF_INET6).close(); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(); socket.if_nameindex()
socket.getaddrinfo('localhost', 80)
""",
    "signals and timers": """
import signal, time, resource, faulthandler
signal.signal(signal.SIGALRM, lambda *_: print('ok')); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
resource.getrlimit(resource.RLIMIT_NOFILE); time.sleep(0.001); faulthandler.enable()
""",
    "C": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.inotify_init1(0) >= 0 and libc.timerfd_create(1, 0) >= 0 and libc.epoll_create1(0) >= 0 and libc.syscall(334, 0, 0, 0, 0) == -1
assert libc.personality(0xffffffff) >= 0 and libc.prctl(15, b'name', 0, 0, 0) == 0
print('ok')
""",
}  # fmt: skip

# A call by its number and arguments, and the error that it ends with.
REFUSED = {
    "ptrace(PTRACE_TRACEME)": ("101, 0, 0, 0, 0", "EPERM"),
    "unshare(CLONE_NEWUSER)": ("272, 0x10000000", "EPERM"),
    "clone(CLONE_NEWUSER|SIGCHLD)": ("56, 0x10000011, 0, 0, 0, 0", "EPERM"),
    "clone3": ("435, 0, 0", "ENOSYS"),
    "setns": ("308, 0, 0", "EPERM"),
    "mount": ("165, 0, 0, 0, 0, 0", "EPERM"),
    "fsopen": ("430, 0, 0", "EPERM"),
    "bpf": ("321, 0, 0, 0", "EPERM"),
    "io_uring_setup": ("425, 1, 0", "EPERM"),
    "keyctl": ("250, 0, 0", "EPERM"),
    "add_key": ("248, 0, 0, 0, 0, 0", "EPERM"),
    "process_vm_readv": ("310, 0, 0, 0, 0, 0, 0", "EPERM"),
    "perf_event_open": ("298, 0, 0, 0, 0, 0", "EPERM"),
    "userfaultfd": ("323, 0", "EPERM"),
    "finit_module": ("313, 0, 0, 0", "EPERM"),
    "kexec_load": ("246, 0, 0, 0, 0", "EPERM"),
    "clock_settime": ("227, 0, 0", "EPERM"),
    "reboot": ("169, 0, 0, 0, 0", "EPERM"),
    "sethostname": ("170, 0, 0", "EPERM"),
    "chroot": ("161, 0", "EPERM"),
    "socket(AF_ALG)": ("41, 38, 5, 0", "EAFNOSUPPORT"),
    "socket(AF_PACKET)": ("41, 17, 3, 0", "EAFNOSUPPORT"),
    "ioctl(TIOCSTI)": ("16, 0, 0x5412, 0", "EPERM"),
    "personality(ADDR_NO_RANDOMIZE)": ("135, 0x40000", "EPERM"),
    "of the x32 ABI": ("0x40000000 + 39", "ENOSYS"),
    "of a later kernel": ("470", "ENOSYS"),
}


def run(tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    """A program in a file, since multiprocessing's spawn reads it again; the filter is kept by all that it starts."""
    script = tmp_path / "program.py"
    script.write_text(f"if __name__ == '__main__':\n{indented(FILTERED + program)}\n")
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


@pytest.mark.parametrize("name", WORKS)
def test_what_ordinary_programs_do(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, WORKS[name])
    assert (done.stdout, done.stderr, done.returncode) == ("ok\n", "", 0)


@pytest.mark.parametrize("name", REFUSED)
def test_what_reaches_into_the_kernel_or_others(tmp_path: Path, name: str) -> None:
    call, error = REFUSED[name]
    done = run(
        tmp_path,
        "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"print(libc.syscall({call}), errno.errorcode.get(ctypes.get_errno()))",
    )
    assert (done.stdout, done.returncode) == (f"-1 {error}\n", 0)


def test_a_call_of_another_architecture_is_the_end(tmp_path: Path) -> None:
    """Int 0x80 in 64-bit code is a call of the 32-bit ABI, where getpid is what writev is here (arch/x86/entry/entry_64_compat.S)."""
    done = run(
        tmp_path,
        "import ctypes, mmap\ncode = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "code.write(bytes.fromhex('b814000000cd80c3'))\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()\nprint('lived')",
    )
    assert (done.stdout, done.returncode) == ("", -31)
