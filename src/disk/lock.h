/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lock.h - one writer or many readers of an image, across processes. */
#pragma once

#include "base/err.h"

/* Lock the open file 'fd' (path for messages) until it is closed.  Names the holder when it can
 * be found out.  File systems without locks are let through. */
int image_lock(int fd, const char *path, bool writer, struct err *err);
