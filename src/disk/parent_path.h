/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parent_path.h - Windows' names of parents, on Linux. */
#pragma once

#include "base/util.h"

/* The file that 'name' means, seen from the image 'child'; NULL: there is none, or it lies outside
 * 'root'.  'bare': only its last part, beside the child.  malloc'ed. */
char *parent_find(const char *child, const char *name, bool bare, const char *root);
