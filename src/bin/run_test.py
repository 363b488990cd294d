#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""run_test.py VERDIN-FAKE - 'verdin run' around a machine that only echoes (fake_machine.c).

Arguments and exit statuses, input that is no terminal, the terminal's state before and after
every kind of end, the monitor, suspension, slow and vanished readers.
"""
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import traceback

VERDIN = os.path.abspath(sys.argv[1])
KERNEL = "/dev/null"  # the fake does not read it
TESTS = []


def test(f):
    TESTS.append(f)
    return f


def run(*args, stdin=subprocess.DEVNULL, timeout=10, **kw):
    return subprocess.run([VERDIN, *args], stdin=stdin, capture_output=True, timeout=timeout, **kw)


class Terminal:
    """verdin on a pseudo terminal, in a session of its own as under a shell."""

    def __init__(self, *args, start=("--kernel", KERNEL)):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""

        def child():
            os.setsid()
            import fcntl
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.p = subprocess.Popen([VERDIN, "run", *start, *args], stdin=self.slave,
                                  stdout=self.slave, stderr=self.slave, preexec_fn=child)
        self.expect(b"fake guest")

    def expect(self, text, seconds=5):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come; seen: {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 4096)
        at = self.seen.index(text)
        before, self.seen = self.seen[:at], self.seen[at + len(text):]
        return before

    def send(self, data):
        os.write(self.master, data)

    def raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def end(self, status, seconds=5):
        """It ends with 'status', and the terminal is as it was."""
        end = time.monotonic() + seconds
        while self.p.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 4096)
        while select.select([self.master], [], [], 0)[0]:  # its last words
            self.seen += os.read(self.master, 4096)
        assert self.p.poll() == status, f"ended with {self.p.poll()}, not {status}: {self.seen!r}"
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is not as it was"
        os.close(self.master)
        os.close(self.slave)


@test
def wrong_arguments_end_with_1_and_say_why():
    for args, words in [
        ([], b"Usage: verdin VERB"),
        (["walk"], b"'walk': no such verb"),
        (["run"], b"--kernel FILE or --disk PATH is needed"),
        (["run", "--kernel", KERNEL, "--cpus", "1000"], b"--cpus 1000: 1 to 64 are possible"),
        (["run", "--kernel", "/nonexistent"], b"kernel '/nonexistent': cannot be opened"),
        (["run", "--kernel", KERNEL, "--console", "file=/nonexistent/x"], b"cannot be opened"),
        (["run", "--kernel", KERNEL, "--trace", "nothing.matches"], b"matches no trace point"),
        (["run", "--restore", "/nonexistent"], b"No such file"),
    ]:
        r = run(*args)
        assert r.returncode == 1 and words in r.stderr and not r.stdout, (args, r)


@test
def help_and_version_end_with_0():
    for args, words in [(["help"], b"verdin run"), (["--help"], b"verdin run"),
                        (["run", "--help"], b"--kernel FILE"), (["version"], b"verdin 0.")]:
        r = run(*args)
        assert r.returncode == 0 and words in r.stdout and not r.stderr, (args, r)


@test
def every_outcome_has_its_status():
    for line, status, words in [(b"off\n", 0, b"powered off"), (b"reboot\n", 0, b"reboot"),
                                (b"die\n", 2, b"the guest died: it was told to")]:
        r = subprocess.run([VERDIN, "run", "--kernel", KERNEL], input=line, capture_output=True,
                           timeout=10)
        assert r.returncode == status and words in r.stderr, r
        assert r.stdout.startswith(b"fake guest\r\n") and line in r.stdout, r


@test
def a_screen_is_drawn_and_keys_become_scan_codes():
    t = Terminal("--console", "screen", start=("--disk", "/dev/null"))
    assert t.raw()
    t.send(b"aB")
    t.expect(b"aa")  # a down, up; shift, b, b, shift
    t.send(b"\x1b[A")
    t.expect(b"c8")
    t.send(b"\x1d")
    t.expect(b"verdin> ")
    t.send(b"screen\r")
    t.expect(b"1e 9e 2a 30 b0 aa e0 48 e0 c8\r\nfake guest\r\n")
    t.send(b"key nosuch\r")
    t.expect(b"no such key: nosuch")
    t.send(b"\r")
    t.expect(b"\x1b[2J")
    t.expect(b"fake guest")
    t.send(b"\x1bOP")  # F1 ends the fake
    t.end(0)
    assert b"\x1b[?25h\r\n" in t.seen, t.seen


@test
def a_screen_needs_a_display():
    r = run("run", "--kernel", KERNEL, "--console", "screen")
    assert r.returncode == 1 and b"has a display" in r.stderr, r


@test
def timeout_ends_with_3():
    begin = time.monotonic()
    r = run("run", "--kernel", KERNEL, "--timeout", "1")
    assert r.returncode == 3 and b"still ran after 1 s" in r.stderr, r
    assert 0.9 < time.monotonic() - begin < 3


@test
def ends_of_input_do_not_end_or_spin_it():
    for stdin in (subprocess.DEVNULL, subprocess.PIPE, "closed"):
        kw = {"preexec_fn": lambda: os.close(0)} if stdin == "closed" else {}
        p = subprocess.Popen([VERDIN, "run", "--kernel", KERNEL, "--timeout", "1"],
                             stdin=None if stdin == "closed" else stdin,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
        if stdin == subprocess.PIPE:
            p.stdin.close()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        assert p.returncode == 3, (stdin, p.returncode)
        assert usage.ru_utime + usage.ru_stime < 0.3, (stdin, usage)


@test
def a_file_as_input_is_typed_whole():
    text = b"".join(b"line %d of the file\n" % i for i in range(2000)) + b"off\n"
    with tempfile.TemporaryFile() as f:
        f.write(text)
        f.seek(0)
        r = run("run", "--kernel", KERNEL, stdin=f)
    assert r.returncode == 0 and r.stdout.replace(b"fake guest\r\n", b"") == text, len(r.stdout)


@test
def bytes_through_pipes_are_not_touched():
    text = bytes(range(256)) * 40 + b"\x1d\x1d\noff\n"
    r = subprocess.run([VERDIN, "run", "--kernel", KERNEL], input=text, capture_output=True,
                       timeout=10)
    assert r.returncode == 0 and r.stdout.replace(b"fake guest\r\n", b"") == text, r


@test
def signals_end_it_with_128_and_their_number():
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        p = subprocess.Popen([VERDIN, "run", "--kernel", KERNEL], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert p.stdout.readline() == b"fake guest\r\n"
        p.send_signal(sig)
        p.communicate(timeout=5)
        assert p.returncode == 128 + sig, p.returncode


@test
def a_reader_that_leaves_ends_it():
    p = subprocess.Popen([VERDIN, "run", "--kernel", KERNEL], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.readline() == b"fake guest\r\n"
    p.stdout.close()
    p.stdin.write(b"hello\n")
    p.stdin.flush()
    assert p.wait(timeout=5) == 128 + signal.SIGPIPE


@test
def a_slow_reader_gets_all_up_to_a_mebibyte():
    p = subprocess.Popen([VERDIN, "run", "--kernel", KERNEL], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b"flood\noff\n")
    p.stdin.flush()
    time.sleep(0.5)
    out, _ = p.communicate(timeout=10)
    assert p.returncode == 0 and out.count(b"0123456789\r\n") == 0
    assert out.count(b"0123456789012345678901234567890\r\n") == 20000, len(out)


@test
def consoles_file_pty_none():
    path = f"/tmp/verdin-run-test.{os.getpid()}"
    r = run("run", "--kernel", KERNEL, "--console", f"file={path}", "--timeout", "1")
    with open(path, "rb") as f:
        assert f.read() == b"fake guest\r\n" and r.stdout == b""
    os.unlink(path)
    r = run("run", "--kernel", KERNEL, "--console", "none", "--timeout", "1")
    assert r.returncode == 3 and r.stdout == b""
    p = subprocess.Popen([VERDIN, "run", "--kernel", KERNEL, "--console", "pty"],
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    line = p.stderr.readline()
    assert b"console on /dev/pts/" in line, line
    fd = os.open(line.split()[-1], os.O_RDWR | os.O_NOCTTY)
    seen = b""
    while b"fake guest\r\n" not in seen:
        seen += os.read(fd, 100)
    os.write(fd, b"off\r")
    assert p.wait(timeout=5) == 0
    os.close(fd)


@test
def the_terminal_is_given_back_after_every_end():
    for line, status in [(b"off\r", 0), (b"die\r", 2), (b"crash\r", -signal.SIGSEGV)]:
        t = Terminal()
        assert t.raw()
        t.send(line)
        t.end(status)
    for sig, status in [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGABRT, -6)]:
        t = Terminal()
        t.p.send_signal(sig)
        t.end(status)
    t = Terminal("--timeout", "1")
    t.end(3)


@test
def control_keys_are_the_guests():
    t = Terminal()
    t.send(b"\x03\x1a\x1c\x04")
    t.expect(b"\x03\x1a\x1c\x04")
    t.send(b"\roff\r")
    t.end(0)


@test
def monitor_commands():
    t = Terminal("--cpus", "3")
    t.send(b"\x1d")
    t.expect(b"verdin> ")
    t.send(b"help\r")
    t.expect(b"power-button      press")
    t.expect(b"verdin> ")
    t.send(b"regx\x7fisters\r")
    t.expect(b"registers of 3 CPUs\r\n")
    t.send(b"p\r")
    t.expect(b"or more than one begins so")
    t.send(b"pa\r")
    t.expect(b"(paused)> ")
    t.send(b"\r\x03")
    t.expect(b"\r\nverdin (paused)> \r\nverdin (paused)> ")
    t.send(b"cont\r")
    t.expect(b"resumed\r\n")
    t.send(b"\x1dpower\r")
    t.expect(b"button\r\n")
    t.send(b"\x1dshutdown\r")
    t.expect(b"no shutdown service yet")
    t.send(b"save\r")
    t.expect(b"the path is missing")
    t.send(b"shutdown\r")
    t.end(0)


@test
def the_escape_itself_can_be_sent():
    t = Terminal()
    t.send(b"a\x1d\x1db")
    t.expect(b"a")
    t.expect(b"\x1d")
    t.expect(b"b")
    t.send(b"\x1dquit\r")
    t.end(0)


@test
def guest_and_monitor_in_one_write():
    t = Terminal()
    t.send(b"\x1dno\r\rAB\x1d\x1dCD\x1d\rEF")
    t.expect(b"no such command")
    for byte in b"AB\x1dCDEF":  # prompts come between
        t.expect(bytes([byte]))
    t.send(b"GH\x1dquit\r")
    t.end(0)


@test
def output_waits_while_the_monitor_is_open():
    t = Terminal()
    t.send(b"\x1d")
    t.expect(b"verdin> ")
    t.send(b"nmi")
    time.sleep(0.1)
    t.send(b"\rx")
    assert t.expect(b"nmi\r\n") == b""
    t.expect(b"x")
    t.send(b"\roff\r")
    t.end(0)


@test
def suspended_it_gives_the_terminal_back_and_goes_on():
    t = Terminal()
    t.send(b"\x1dsuspend\r")
    t.expect(b"verdin> suspend\r\n")
    _, status = os.waitpid(t.p.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert termios.tcgetattr(t.slave) == t.before
    os.kill(t.p.pid, signal.SIGCONT)
    t.expect(b"verdin> ")
    assert t.raw()
    t.send(b"\r")
    os.kill(t.p.pid, signal.SIGTSTP)
    _, status = os.waitpid(t.p.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status) and not t.raw()
    os.kill(t.p.pid, signal.SIGCONT)
    t.expect(b"resumed")
    t.expect(b"resumed")
    t.send(b"off\r")
    t.end(0)


bad = 0
for i, f in enumerate(TESTS):
    try:
        f()
        print(f"ok {i + 1} {f.__name__}", flush=True)
    except Exception as e:  # whatever went wrong, it is this test's verdict
        bad += 1
        line = traceback.extract_tb(e.__traceback__)[-1].lineno
        print(f"# line {line}: {type(e).__name__}: {e}\nnot ok {i + 1} {f.__name__}", flush=True)
print(f"1..{len(TESTS)}")
sys.exit(1 if bad else 0)
