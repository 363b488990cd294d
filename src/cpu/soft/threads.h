/* SPDX-License-Identifier: GPL-2.0-or-later */
/* threads.h - between threads.c (safe points, sleep, timers) and soft.c (the engine's table). */
#pragma once

#include "cpu/soft/soft.h"

int threads_new(struct soft *s);
void threads_free(struct soft *s);
int threads_init(struct soft_vp *vp);
void threads_done(struct soft_vp *vp);

/* INIT and SIPI that arrived: carry them out.  At a safe point. */
void threads_start_up(struct soft_vp *vp);

/* "; last exits ..." behind the 'n' characters in 'text'. */
void threads_describe_exits(const struct soft_vp *vp, char *text, size_t n, size_t size);
