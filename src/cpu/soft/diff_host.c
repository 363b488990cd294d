/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diff_host.c - cases on the host's own CPU, in a child process.
 *
 * Every case ends with a signal; its handler saves what came out of the case, writes the next
 * one's state over the signal frame and returns into it.  FS and GS belong to the cases, so the
 * child calls nothing of the C library once it runs. */
#include <asm/prctl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "cpu/soft/diff.h"

#define NO_TLS __attribute__((no_stack_protector, optimize("no-tree-loop-distribute-patterns")))

struct diff_host {
    unsigned n, done; /* cases of the batch; how many have finished */
    struct diff_case c[DIFF_BATCH];
    struct diff_result r[DIFF_BATCH];
    uint8_t data[DIFF_PAGES * 4096];
    uint8_t spare[65536]; /* signal stack of the child */
    int to_child, from_child; /* the parent's ends */
    int child_in, child_out;
    pid_t pid;
    int started, at;   /* at: the case in execution */
};

#define CASES_AT UINT64_C(0x3b1234000000) /* where the struct lies, in both processes */
#define CODE_WRITE ((uint8_t *)UINT64_C(0x3b1233000000))
#define H        ((struct diff_host *)CASES_AT)

#ifdef __clang__
#undef NO_TLS
#define NO_TLS
#endif

static NO_TLS long sys3(long nr, long a, long b, long c)
{
    long r;

    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return r;
}

static NO_TLS void copy_words(void *to, const void *from, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static NO_TLS void wait_for_batch(void)
{
    char b = 0;

    H->done = H->n;
    sys3(SYS_write, H->child_out, (long)&b, 1);
    if (sys3(SYS_read, H->child_in, (long)&b, 1) != 1)
        sys3(SYS_exit_group, 0, 0, 0);
    H->at = 0;
}

static const uint8_t order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI,
                                   REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13,
                                   REG_R14, REG_R15 };

static NO_TLS void take_result(ucontext_t *uc)
{
    struct diff_result *r = &H->r[H->at];
    greg_t *g = uc->uc_mcontext.gregs;
    uint8_t *fx = (uint8_t *)uc->uc_mcontext.fpregs;

    for (unsigned i = 0; i < 16; i++)
        r->out.gpr[i] = (uint64_t)g[order[i]];
    r->out.rip = (uint64_t)g[REG_RIP];
    r->out.rflags = (uint64_t)g[REG_EFL];
    r->vector = (uint32_t)g[REG_TRAPNO];
    r->error = r->vector == 13 || r->vector == 14 || r->vector == 12 ? (uint32_t)g[REG_ERR] : 0;
    r->cr2 = r->vector == 14 ? (uint64_t)g[REG_CR2] : 0;
    if (r->cr2 >> 47) /* the kernel hides its own half */
        r->error &= ~1u;
    copy_words(r->out.fx, fx, 512);
    if (*(uint64_t *)(void *)(fx + 512) & 4)
        copy_words(r->out.ymmh, fx + 576, 256);
    else
        for (unsigned i = 0; i < 256; i++)
            r->out.ymmh[i] = 0;
    diff_changes(H->data, (const uint8_t *)DIFF_DATA, r);
}

static NO_TLS void next_case(ucontext_t *uc)
{
    const struct diff_case *c = &H->c[H->at];
    greg_t *g = uc->uc_mcontext.gregs;
    uint8_t *fx = (uint8_t *)uc->uc_mcontext.fpregs, *code = CODE_WRITE;

    for (unsigned i = 0; i < DIFF_CODE_PAGES * 4096; i += 8)
        *(uint64_t *)(void *)(code + i) = UINT64_C(0xcccccccccccccccc);
    diff_code(c, code);
    copy_words((void *)DIFF_DATA, H->data, 2 * 4096);
    copy_words((void *)(DIFF_DATA + 4 * 4096), H->data + 4 * 4096, 4096);
    for (unsigned i = 0; i < 16; i++)
        g[order[i]] = (greg_t)c->in.gpr[i];
    g[REG_RIP] = (greg_t)c->in.rip;
    g[REG_EFL] = (greg_t)c->in.rflags;
    copy_words(fx, c->in.fx, 416);
    copy_words(fx + 576, c->in.ymmh, 256);
    *(uint64_t *)(void *)(fx + 512) |= 7;
}

static NO_TLS void on_signal(int sig, siginfo_t *info, void *ctx)
{
    ucontext_t *uc = ctx;

    if (H->started) {
        take_result(uc);
        H->at++;
        H->done = (unsigned)H->at;
    } else {
        H->started = 1;
        H->at = (int)H->n;
    }
    if ((unsigned)H->at >= H->n)
        wait_for_batch();
    next_case(uc);
}

static _Noreturn void child(void)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
    stack_t ss = { .ss_sp = H->spare, .ss_size = sizeof(H->spare) };
    struct sigaction sa = { .sa_sigaction = on_signal,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

    int fd = memfd_create("code", MFD_CLOEXEC); /* we write it where the cases cannot see it */

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd < 0 || ftruncate(fd, DIFF_CODE_PAGES * 4096) < 0 ||
        mmap(CODE_WRITE, DIFF_CODE_PAGES * 4096, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0) == MAP_FAILED ||
        mmap((void *)DIFF_CODE, DIFF_CODE_PAGES * 4096, PROT_READ | PROT_EXEC,
             MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0) == MAP_FAILED ||
        mmap((void *)DIFF_DATA, DIFF_PAGES * 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0) == MAP_FAILED)
        _exit(1);
    memcpy((void *)DIFF_DATA, H->data, sizeof(H->data));
    mlock((void *)DIFF_DATA, DIFF_PAGES * 4096);
    mprotect((void *)(DIFF_DATA + 2 * 4096), 4096, PROT_READ);
    munmap((void *)(DIFF_DATA + DIFF_PAGE_D * 4096), 4096);
    sigaltstack(&ss, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &sa, NULL);
    syscall(SYS_arch_prctl, ARCH_SET_GS, DIFF_GS);
    sys3(SYS_arch_prctl, ARCH_SET_FS, DIFF_FS, 0);
    __asm__ volatile("int3");
    __builtin_unreachable();
}

static void start(struct diff_host *h)
{
    int in[2], out[2];
    pid_t pid;

    h->n = 0;
    h->started = 0;
    if (pipe(in) < 0 || pipe(out) < 0)
        abort();
    h->child_in = in[0];
    h->child_out = out[1];
    h->to_child = in[1];
    h->from_child = out[0];
    pid = fork();
    if (pid == 0)
        child();
    h->pid = pid; /* the memory is shared: not in the child */
    close(in[0]);
    close(out[1]);
}

static void stop(struct diff_host *h)
{
    close(h->to_child);
    close(h->from_child);
    kill(h->pid, SIGKILL);
    waitpid(h->pid, NULL, 0);
}

struct diff_host *diff_host_new(const uint8_t *data)
{
    struct diff_host *h = mmap((void *)CASES_AT, ALIGN_UP(sizeof(*h), (size_t)4096),
                               PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    char b;

    if (h == MAP_FAILED)
        return NULL;
    memcpy(h->data, data, sizeof(h->data));
    start(h);
    if (read(h->from_child, &b, 1) != 1) {
        diff_host_free(h);
        return NULL;
    }
    return h;
}

void diff_host_free(struct diff_host *h)
{
    if (!h)
        return;
    stop(h);
    munmap(h, ALIGN_UP(sizeof(*h), (size_t)4096));
}

/* A case may loop for ever. */
static bool answers(struct diff_host *h)
{
    struct pollfd p = { .fd = h->from_child, .events = POLLIN };

    return poll(&p, 1, 5000) == 1;
}

bool diff_host_run(struct diff_host *h, const struct diff_case *c, unsigned n,
                   struct diff_result *ret, unsigned *ret_at)
{
    char b = 0;

    h->n = n;
    memcpy(h->c, c, n * sizeof(*c));
    if (write(h->to_child, &b, 1) == 1 && answers(h) && read(h->from_child, &b, 1) == 1) {
        memcpy(ret, h->r, n * sizeof(*ret));
        return true;
    }
    *ret_at = (unsigned)h->at;
    stop(h);
    start(h);
    if (read(h->from_child, &b, 1) != 1)
        abort();
    return false;
}
