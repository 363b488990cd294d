# SPDX-License-Identifier: GPL-2.0-or-later
"""Real guests for tests: make an initramfs around a payload, run it, watch its console, TAP out.

A test is a script:

    from guest import Guest, test, main

    @test
    def it_says_hello(t):
        g = Guest(t, "cloud-amd64", "echo VERDICT ok hello")
        g.verdicts()
        g.ends(0)

    main()

The payload is a shell script under busybox; lines 'VERDICT ok WHAT' and 'VERDICT not ok WHAT' on its
console count.  When it ends the guest powers off.  Usage of every test: TEST.py BUILD [WORD]...;
words pick tests by part of their name.  Environment: VERDIN_TEST_ENGINE (soft, kvm, auto; default
soft); 'kvm-tcg' runs the kvm engine inside a QEMU that emulates hardware virtualization (kvm-lane);
'qemu' runs the same guest under QEMU's TCG, which checks the test itself.
"""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ENGINE = os.environ.get("VERDIN_TEST_ENGINE", "soft")
# A slow or busy machine may need more of everybody's patience.
PATIENCE = float(os.environ.get("VERDIN_TEST_PATIENCE", "1"))
FLAVOURS = {"cloud-amd64": "amd64", "amd64": "amd64", "686-pae": "i386"}
HV_MODULES = ["hv_vmbus", "hv_utils"]

# What a kernel says when something is wrong.  Saying that a TSC that is not invariant is not used
# as clock is what Linux does on every Hyper-V.
COMPLAINTS = re.compile(
    r"WARNING:|BUG[: ]|Oops|Call Trace|general protection|segfault|soft lockup|hard LOCKUP|"
    r"blocked for more than|rcu:? .*(stall|INFO)|timekeeping watchdog|[Cc]locksource.*unstable|"
    r"TSC.*skew|timer doesn't work|not responding|nobody cared|unhandled|Firmware [Bb]ug|"
    r"ACPI (Error|BIOS Error|Warning)|unchecked MSR|failed to initialize|do_IRQ: .*No irq handler|"
    r"exception Emask")
HARMLESS = re.compile(
    r"Marking TSC unstable due to running on Hyper-V|unhandled .*printk|Spectre|RETBleed|MDS|TAA|"
    r"MMIO Stale|Speculative|SRSO|GDS|Register File")


class Failed(Exception):
    pass


class Skip(Exception):
    pass


def build_dir():
    return os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")


def fetched(thing):
    path = os.path.join(build_dir(), "guests", thing)
    if not os.path.exists(os.path.join(path, "ready")):
        raise Skip(f"{thing} is not there: tools/fetch-guest {thing}")
    return path


def busybox(arch="amd64"):
    return os.path.join(fetched("busybox-" + arch), "busybox")


def on_host(*args):
    """The lines that the guest's own busybox prints on the host for 'sh ARGS', in an empty folder."""
    with tempfile.TemporaryDirectory() as d:
        bb = busybox()
        subprocess.run([bb, "--install", "-s", d], check=True)
        work = os.path.join(d, "work")
        os.mkdir(work)
        r = subprocess.run([bb, "sh", *args], cwd=work, capture_output=True, text=True,
                           env={"PATH": d}, check=True)
        return r.stdout.splitlines()


def host_programs(*names):
    """Programs of the host with the libraries that they need, as 'files' of a guest."""
    pairs = []
    for name in names:
        path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not path:
            raise Skip(f"{name} is not installed: tools/install-deps test")
        libs = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        pairs.append(f"{path}:bin/{name}")
        pairs += [f"{lib}:{lib[1:]}" for lib in re.findall(r"(/\S+) \(0x", libs)]
    return pairs


def initramfs(t, flavour, payload, modules=None, files=()):
    """An initial RAM disk in the test's folder that runs the payload and powers off."""
    out = os.path.join(t.folder, f"{len(t.guests)}.cpio")
    script = os.path.join(t.folder, "payload")
    with open(script, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + payload)
    os.chmod(script, 0o755)
    cmd = [os.path.join(ROOT, "tools/mkinitramfs"), "-o", out,
           "--init", os.path.join(HERE, "init"), "--guest", fetched(flavour),
           "--busybox", busybox(FLAVOURS[flavour]), "--add", f"{script}:payload",
           "--add", os.path.join(HERE, "poweroff") + ":sbin/poweroff"]
    for m in HV_MODULES if modules is None else modules:
        cmd += ["--module", m]
    for pair in files:
        cmd += ["--add", pair]
    subprocess.run(cmd, check=True)
    return out


class Guest:
    """One run of verdin (or QEMU) with a guest made for it; without a flavour, 'args' has what it
    starts from."""

    def __init__(self, t, flavour=None, payload=None, cpus=1, memory="512M", append="", modules=None,
                 files=(), args=(), kernel=None, terminal=False, seconds=180, restore=None):
        self.t = t
        self.deadline = time.monotonic() + seconds * PATIENCE
        self.terminal = None
        if restore or not flavour:
            if ENGINE in ("qemu", "kvm-tcg"):
                raise Skip(f"not in the lane {ENGINE}")
            self.initrd = None
            self.command = [os.path.join(build_dir(), "verdin"), "run", "--engine", ENGINE,
                            *(["--restore", restore] if restore else []),
                            "--memory", memory, "--cpus", str(cpus), *args]
            self._start(terminal)
            return
        folder = fetched(flavour)
        self.initrd = initramfs(t, flavour, payload, modules, files)
        self.command = self._command(kernel or os.path.join(folder, "vmlinuz"), cpus, memory,
                                     ("console=ttyS0 " + append).strip(), list(args))
        self._start(terminal)

    def _start(self, terminal):
        self.text = ""     # all that the guest's console said
        self.lines = []    # the same in lines with the time of each: (seconds, text)
        self.seen = 0      # expect() has looked at self.text up to here
        self.partial = ""
        self.err = tempfile.TemporaryFile()
        if terminal:
            self.terminal, slave = pty.openpty()
            self.p = subprocess.Popen(self.command, stdin=slave, stdout=slave, stderr=self.err,
                                      start_new_session=True,
                                      preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540e, 0))
            os.close(slave)
            self.out = self.terminal
        else:
            self.p = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=self.err)
            self.out = self.p.stdout.fileno()
        self.begin = time.monotonic()
        self.t.guests.append(self)

    @staticmethod
    def _command(kernel, cpus, memory, append, args):
        if ENGINE == "qemu":
            return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", str(cpus), "-m",
                    memory, "-kernel", kernel, "-initrd", None, "-append", append, "-display",
                    "none", "-serial", "stdio", "-monitor", "none"] + \
                   ["-" + a[2:] for a in args if a == "--no-reboot"]
        rest = ["--append", append, "--memory", memory, "--cpus", str(cpus)] + args
        if ENGINE == "kvm-tcg":
            return [os.path.join(HERE, "kvm-lane"), build_dir(), kernel, None] + rest
        return [os.path.join(build_dir(), "verdin"), "run", "--engine", ENGINE, "--kernel", kernel,
                "--initrd", None] + rest

    @property
    def command(self):
        return self._cmd

    @command.setter
    def command(self, cmd):
        self._cmd = [self.initrd if c is None else c for c in cmd]

    def stderr(self):
        self.err.seek(0)
        return self.err.read().decode(errors="replace")

    def _take(self, seconds):
        """Read what comes within 'seconds'; False at the end of the output."""
        if not select.select([self.out], [], [], max(seconds, 0))[0]:
            return True
        try:
            data = os.read(self.out, 65536)
        except OSError:  # a terminal whose other end is closed
            data = b""
        if not data:
            return False
        text = data.decode(errors="replace").replace("\r", "")
        self.text += text
        *whole, self.partial = (self.partial + text).split("\n")
        now = time.monotonic() - self.begin
        self.lines += [(now, line) for line in whole]
        return True

    def expect(self, pattern, seconds=None):
        """The next match of 'pattern' in the output behind the last one."""
        end = min(self.deadline, time.monotonic() + seconds * PATIENCE) if seconds else self.deadline
        while True:
            m = re.compile(pattern, re.M).search(self.text, self.seen)
            if m:
                self.seen = m.end()
                return m
            if time.monotonic() > end:
                raise Failed(f"'{pattern}' did not come in time")
            if not self._take(min(end - time.monotonic(), 1)):
                raise Failed(f"'{pattern}' did not come, the run ended with {self.p.wait()}")

    def between(self, begin, end):
        """The lines of the console after the next line 'begin' and before the line 'end'."""
        self.expect(rf"^{begin}\n")
        start = self.seen
        m = self.expect(rf"^{end}\n")
        return self.text[start:m.start()].splitlines()

    def send(self, text):
        data = text.encode()
        if self.terminal is not None:
            os.write(self.terminal, data)
        else:
            self.p.stdin.write(data)
            self.p.stdin.flush()

    def ends(self, status):
        """The run ends with this exit status."""
        while self._take(0.2):
            if time.monotonic() > self.deadline:
                raise Failed("the guest did not end in time")
        try:
            got = self.p.wait(timeout=max(1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed("the run did not end in time") from None
        if got != status and not (ENGINE == "qemu" and got == 0):
            raise Failed(f"exit status {got}, not {status}: {self.stderr().strip()}")

    def verdicts(self, until="PAYLOAD ENDS"):
        """Take the payload's verdicts until its end; each becomes a line of the test's report."""
        n = 0
        while True:
            m = self.expect(rf"^(VERDICT (ok|not ok) (.*)|{until})\n")
            if m.group(1) == until:
                break
            n += 1
            self.t.note(m.group(3))
            if m.group(2) != "ok":
                self.t.failures.append(m.group(3))
        if not n:
            raise Failed("the payload gave no verdict")

    def no_complaints(self):
        for _, line in self.lines:
            if COMPLAINTS.search(line) and not HARMLESS.search(line):
                self.t.failures.append(f"the kernel complains: {line.strip()}")

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(5)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        if self.terminal is not None:
            os.close(self.terminal)


class Test:
    def __init__(self, name, run):
        self.name, self.run = name, run
        self.guests, self.failures, self.notes = [], [], []
        self.folder = None

    def note(self, text):
        self.notes.append(text)

    def check(self, what, good):
        self.note(what)
        if not good:
            self.failures.append(what)

    def save_logs(self):
        logs = os.path.join(build_dir(), "guest-logs")
        os.makedirs(logs, exist_ok=True)
        names = []
        for i, g in enumerate(self.guests):
            names.append(os.path.join(logs, f"{self.name}.{i}.log"))
            with open(names[-1], "w", encoding="utf-8") as f:
                f.write(" ".join(g.command) + "\n" + g.text + "\n---- stderr\n" + g.stderr())
        return names

    def execute(self):
        """(good, skip reason)"""
        self.folder = tempfile.mkdtemp(prefix="verdin-guest-")
        try:
            self.run(self)
        except Skip as e:
            return True, str(e)
        except Failed as e:
            self.failures.append(str(e))
        except Exception as e:  # a fault of the test is a failure, too
            line = traceback.extract_tb(e.__traceback__)[-1]
            self.failures.append(f"{line.filename}:{line.lineno}: {type(e).__name__}: {e}")
        finally:
            for g in self.guests:
                g.stop()
            names = self.save_logs()
            shutil.rmtree(self.folder)
        for f in self.failures:
            print(f"# {f}")
        if self.failures:
            for n in names:
                print(f"# log: {n}")
        return not self.failures, None


TESTS = []


def test(run):
    TESTS.append(Test(run.__name__, run))
    return run


def variants(name, cases):
    """A test function for each case: @variants("boot_{}_{}cpu", [("amd64", 2), ...])."""
    def make(run):
        for case in cases:
            TESTS.append(Test(name.format(*case).replace("-", "_"), lambda t, c=case: run(t, *c)))
        return run
    return make


def main():
    words = sys.argv[2:]
    picked = [t for t in TESTS if not words or any(w in t.name for w in words)]
    bad = 0
    print(f"1..{len(picked)}", flush=True)
    for i, t in enumerate(picked):
        begin = time.monotonic()
        good, skip = t.execute()
        bad += not good
        seconds = time.monotonic() - begin
        for n in t.notes:
            print(f"#   {n}")
        print(f"{'ok' if good else 'not ok'} {i + 1} {t.name} "
              + (f"# SKIP {skip}" if skip else f"({seconds:.1f} s)"), flush=True)
    sys.exit(1 if bad else 0)
