/* SPDX-License-Identifier: GPL-2.0-or-later */
/* os.c - what goes through the kernel: system calls, signals, pipes, processes, page tables. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PAGE 4096u

static uint64_t system_calls(void)
{
    uint64_t same = 0;
    long pid = getpid();

    for (unsigned i = 0; i < 400000; i++)
        same += syscall(SYS_getpid) == pid;
    return same;
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
    signals++;
}

static uint64_t signal_handling(void)
{
    struct sigaction sa = { .sa_handler = on_signal };

    signals = 0;
    sigaction(SIGUSR1, &sa, NULL);
    for (unsigned i = 0; i < 10000; i++)
        raise(SIGUSR1);
    return (uint64_t)signals;
}

static uint64_t pipe_ping_pong(void)
{
    int to[2], from[2];
    uint64_t sum = 0;
    uint32_t x = 0;

    if (pipe(to) < 0 || pipe(from) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        close(to[1]);
        while (read(to[0], &x, sizeof x) == sizeof x) {
            x = x * 3 + 1;
            if (write(from[1], &x, sizeof x) < 0)
                break;
        }
        _exit(0);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        if (write(to[1], &i, sizeof i) < 0 || read(from[0], &x, sizeof x) != sizeof x)
            abort();
        sum += x;
    }
    close(to[1]);
    close(to[0]);
    close(from[0]);
    close(from[1]);
    waitpid(pid, NULL, 0);
    return sum;
}

static uint64_t fork_exec(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < 250; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            if (i % 2)
                _exit(3);
            execl("/proc/self/exe", "bench", "nothing", (char *)NULL);
            _exit(99);
        }
        waitpid(pid, &status, 0);
        sum += (uint64_t)WEXITSTATUS(status);
    }
    return sum;
}

static uint64_t page_faults(void)
{
    enum { PAGES = 4096 };
    uint64_t sum = 0;

    for (unsigned round = 0; round < 5; round++) {
        uint8_t *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                          -1, 0);

        if (p == MAP_FAILED)
            abort();
        madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE);
        for (unsigned i = 0; i < PAGES; i++)
            sum += p[i * PAGE]++ + 1;
        munmap(p, PAGES * PAGE);
    }
    return sum;
}

static volatile sig_atomic_t faults;
static uint8_t *guarded;

static void on_fault(int sig)
{
    faults++;
    mprotect(guarded, PAGE, PROT_READ | PROT_WRITE);
}

/* Protect, write, be caught, allow: what garbage collectors do. */
static uint64_t mprotect_faults(void)
{
    struct sigaction sa = { .sa_handler = on_fault }, old;

    faults = 0;
    guarded = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guarded == MAP_FAILED)
        abort();
    sigaction(SIGSEGV, &sa, &old);
    for (unsigned i = 0; i < 6000; i++) {
        mprotect(guarded, PAGE, PROT_READ);
        ((volatile uint8_t *)guarded)[i % PAGE] = 1;
    }
    sigaction(SIGSEGV, &old, NULL);
    munmap(guarded, PAGE);
    return (uint64_t)faults;
}

const struct bench bench_os[] = {
    { "system_calls", system_calls, 0 },
    { "signals", signal_handling, 0 },
    { "pipe_ping_pong", pipe_ping_pong, 0 },
    { "fork_exec", fork_exec, 0 },
    { "page_faults", page_faults, 0 },
    { "mprotect", mprotect_faults, 0 },
    { 0 },
};
