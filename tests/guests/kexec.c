/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kexec.c - inside a guest: load a kernel into the running one.
 *
 *     kexec now|panic KERNEL INITRD CMDLINE
 *
 * now: start it at once, without a word to anybody; panic: it starts when this kernel panics.
 * (Debian's kexec-tools need half of Xen's libraries.) */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int kernel, initrd;
    unsigned long panic;

    if (argc != 5) {
        fprintf(stderr, "usage: kexec now|panic KERNEL INITRD CMDLINE\n");
        return 1;
    }
    panic = strcmp(argv[1], "panic") == 0;
    kernel = open(argv[2], O_RDONLY);
    initrd = open(argv[3], O_RDONLY);
    if (kernel < 0 || initrd < 0 ||
        syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4],
                panic ? KEXEC_FILE_ON_CRASH : 0ul) != 0) {
        fprintf(stderr, "kexec: %s\n", strerror(errno));
        return 1;
    }
    if (panic)
        return 0;
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    fprintf(stderr, "kexec: %s\n", strerror(errno));
    return 1;
}
