/* SPDX-License-Identifier: GPL-2.0-or-later */
/* banned.h - functions that have a safer sister become compile errors.
 *
 * System headers that mention them come first, then the names are poisoned. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets
#pragma GCC poison strtok atoi atol atoll atof
