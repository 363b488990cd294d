/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_tool.c - 'verdin disk' as a program of its own, for tests. */
#include "bin/disk.h"

int main(int argc, char **argv)
{
    return disk_main(argc, argv);
}
