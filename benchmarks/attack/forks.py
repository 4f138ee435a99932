"""An attempt in a process of its own: forked from one that has imported everything, under limits, and watched to its
end.

A fork costs some hundredths of a second, where a new Python that imports torch costs seconds. What an attempt breaks
stays in its process: a hang, a crash or a gigabyte of memory is seen from outside and counted. Linux only.
"""
import contextvars, ctypes, json, mmap, os, platform, resource, runpy, select, shutil, signal, sys, tempfile, time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Ended:
    "What came of an attempt"
    status: int        # the exit status; negative: the signal that ended it
    out: str           # what it printed
    err: str           # what it printed as errors and warnings
    answer: object     # what the function returned; None if it did not
    seconds: float     # from the moment it began
    memory: float      # MB at the highest point, beyond what it was born with
    hang: bool         # whether it had to be killed at its limit of time
    operations: int    # how many operations on files it began
    executed: bool     # whether something was unpickled or started that no run needs
    chatty: bool       # whether the answer was so long that it was not read

    @property
    def traceback(self):
        "Whether Python's own account of an error was printed, which no user should see"
        return any(text in self.out + self.err
                   for text in ('Traceback (most recent call last)', 'Exception ignored in'))

    @property
    def last_line(self):
        lines = self.err.strip().splitlines()
        return lines[-1] if lines else ''

# ---- in the child

def command(name, *args):
    "Run an installed console script as a shell would, in this process"
    path = script(name)[1]
    if path is None: raise FileNotFoundError(f'{name} is not installed: pip install -e .')
    sys.argv = [path, *map(str, args)]
    # it knows nothing of the script that attacks it
    contextvars.Context().run(runpy.run_path, path, run_name='__main__')

def become(words):
    "Turn this process into another program: a new Python, where what happens while it starts is to be seen"
    os.execvp(words[0], [*map(str, words)])

def script(name):
    "The words that start a console script in a new Python"
    return [sys.executable, shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)]

def before_operations(folder, do, count):
    "Call `do(n, what)` before the n-th operation of this process that changes a file in `folder`; keep `count` of them"
    changes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    events = {'os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.truncate', 'os.link', 'os.symlink'}
    us, here = os.getpid(), os.path.abspath(folder) + os.sep

    def ours(path, *rest):
        if isinstance(path, bytes): path = os.fsdecode(path)
        if not isinstance(path, (str, os.PathLike)): return False
        within = any(type(r) is int and r >= 0 for r in rest)              # relative to an open folder, as rmtree works
        return within or os.path.abspath(path).startswith(here)

    def begin(what):
        if os.getpid() != us: return                                       # a worker that decodes images
        count[0] += 1
        do(count[0], what)

    def hear(event, args):
        if event == 'open' and args[2] & changes and ours(args[0]): begin(f'open {args[0]}')
        elif event in events and ours(*args): begin(f'{event} {args[0]}')

    flush = os.fsync
    def fsync(fd):
        begin(f'os.fsync {os.readlink(f"/proc/self/fd/{fd}")}')
        return flush(fd)

    sys.addaudithook(hear)
    os.fsync = fsync

def raise_together(numbers):
    "Send this process several signals that arrive at the same instant"
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for n in numbers: os.kill(os.getpid(), n)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

def _die_with_parent():
    PR_SET_PDEATHSIG = 1                                                   # prctl.h of Linux
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

def _limit_memory(gigabytes):
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    most = pages*os.sysconf('SC_PAGE_SIZE') + int(gigabytes*2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

platform.processor()          # asks a program once, and remembers

# What is begun by pickles and shells, and by no part of a run.
_code = {'pickle.find_class', 'os.system', 'subprocess.Popen', 'os.exec', 'os.posix_spawn', 'os.spawn'}

def _prepare(folder, files, memory, watch, count):
    "Make a fork look like a new process that a shell has started in `folder`"
    _die_with_parent()
    os.setpgid(0, 0)                                                       # its workers can be ended with it
    for fd, file in zip((0, 1, 2), files): os.dup2(file.fileno(), fd)
    sys.stdout = open(1, 'w', buffering=1, closefd=False)
    sys.stderr = open(2, 'w', buffering=1, closefd=False, errors='backslashreplace')
    os.environ.pop('IN_TEST', None)
    sys.dont_write_bytecode = True
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory: _limit_memory(memory)
    def note(event, args):
        if event in _code: count[1] += 1
    sys.addaudithook(note)
    before_operations(folder, watch or (lambda n, what: None), count)

def _call(f, answer, started):
    "Call `f`, and end as an interpreter does: the exit status, with errors printed"
    status = 0
    try:
        os.write(started, b'x')
        os.close(started)
        answer.write(json.dumps(f()).encode())
        answer.flush()
    except SystemExit as e:
        if e.code is not None and not isinstance(e.code, int): print(e.code, file=sys.stderr)
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        status = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        status = 1
    # What comes from here on belongs to us, and not to what is attacked.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed: stream.flush()
    return status

# ---- in the parent

def attempt(
    f, # what to do: no arguments, returns JSON-able data or None
    folder, # where; operations on files in it are counted
    limit = 60., # seconds of computing after which it is taken to hang
    memory = None, # GB that it may take beyond what it has at birth; None: all
    signals = (), # (seconds, number): what is sent to it, and when
    watch = None # (n, what) -> None, called in the child before its n-th operation on a file
) -> Ended:
    "Call a function in a process of its own and see what becomes of it"
    out, err, answer = (tempfile.TemporaryFile() for _ in range(3))
    count = mmap.mmap(-1, 16)
    numbers = memoryview(count).cast('q')
    ready, started = os.pipe()
    pid = os.fork()
    if not pid:
        status = 99                                                        # our own fault, if it stays
        try:
            os.close(ready)
            with open(os.devnull) as nothing: _prepare(folder, (nothing, out, err), memory, watch, numbers)
            status = _call(f, answer, started)
        except BaseException: traceback.print_exc()
        finally: os._exit(status % 256)
    os.close(started)
    os.read(ready, 1)
    os.close(ready)
    status, seconds, hang, usage = _watch(pid, limit, sorted(signals))
    texts, most = [], 10**6
    for file in (out, err, answer):
        file.seek(0)
        texts.append(file.read(most + 1).decode(errors='backslashreplace'))
        file.close()
    # An answer is a word and a line or two: what is longer is not worth the memory of reading it.
    chatty = len(texts[2]) > most
    told = json.loads(texts[2]) if texts[2] and not chatty and not hang and status == 0 else None
    born = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = Ended(status, texts[0][:most], texts[1][:most], told, round(seconds, 3),
                  max(0, usage.ru_maxrss - born)/1024, hang, numbers[0], numbers[1] > 0, chatty)
    if status == 99: raise RuntimeError(f'the attempt itself failed:\n{found.err}')
    return found

def _busy(pid):
    "Seconds of computing that a process has had"
    with suppress(OSError, IndexError):
        words = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
        return (int(words[11]) + int(words[12]))/os.sysconf('SC_CLK_TCK')
    return 0.

def _watch(pid, limit, signals):
    """Wait for a child and send it what is due: (status, seconds, whether it hung, usage). It hangs if it is not
    through after `limit` seconds of computing, or after six times as long by the clock: others may be using this
    machine"""
    began, fd, hang, due = time.monotonic(), os.pidfd_open(pid), False, list(signals)
    watched = select.poll()
    watched.register(fd, select.POLLIN)
    while True:
        now = time.monotonic() - began
        while due and due[0][0] <= now:
            with suppress(ProcessLookupError): signal.pidfd_send_signal(fd, due.pop(0)[1])
        if now >= limit and (_busy(pid) >= limit or now >= 6*limit):
            os.killpg(pid, signal.SIGKILL)
            hang = True
        until = min([limit if now < limit else now + .5, *[t for t, _ in due]])
        if watched.poll(max(0, until - now)*1000): break
    seconds = time.monotonic() - began
    _, status, usage = os.wait4(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), seconds, hang, usage

def in_lanes(lanes, tasks, f, say=print):
    "`f` of each task, in order, by so many processes side by side; `say` hears of each result as it comes"
    if lanes < 2: return [_said(f(task), say) for task in tasks]
    files, pids = [tempfile.TemporaryFile('w+') for _ in range(lanes)], []
    for lane, file in enumerate(files):
        pid = os.fork()
        if not pid:
            _die_with_parent()
            status = 1
            try:
                for i in range(lane, len(tasks), lanes): file.write(json.dumps([i, _said(f(tasks[i]), say)]) + '\n')
                file.flush()
                status = 0
            except BaseException: traceback.print_exc()
            finally: os._exit(status)
        pids.append(pid)
    ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    if any(ended): raise RuntimeError(f'the lanes ended with {ended}')
    found = {}
    for file in files:
        file.seek(0)
        found |= {i: result for i, result in map(json.loads, file)}
    return [found[i] for i in sorted(found)]

def _said(result, say):
    say(result)
    return result
