/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.h - 'verdin run': one machine in the foreground. */
#pragma once

#define EXIT_OK      0
#define EXIT_USAGE   1 /* wrong arguments or configuration */
#define EXIT_DIED    2 /* the guest or its engine did */
#define EXIT_TIMEOUT 3
#define EXIT_SIGNAL  128 /* plus the signal that ended the run */

/* argv[0] is the verb.  Returns the exit status. */
int run_main(int argc, char **argv);
