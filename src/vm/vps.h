/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vps.h - the threads of a machine's virtual processors: start, pause, resume, stop. */
#pragma once

#include <pthread.h>

#include "cpu/engine.h"

struct vps;

struct vps_thread {
    struct vps *vps;
    struct vp *vp;
    pthread_t thread;
    bool dead; /* vp_run() said so; stands until vps_revive() */
};

struct vps {
    unsigned n;
    struct vps_thread t[VPS_MAX];
    /* The VP stopped for good.  On its thread, no lock held; must not call back here. */
    void (*died)(void *owner, struct vp *vp, enum vp_stop stop);
    void *owner;

    pthread_mutex_t lock; /* guards what follows and 'dead' */
    pthread_cond_t changed;
    bool run, quit;
    unsigned n_parked, n_started;
};

void vps_init(struct vps *v, struct partition *p, unsigned n,
              void (*died)(void *owner, struct vp *vp, enum vp_stop stop), void *owner);

/* Threads are made paused. */
int vps_start(struct vps *v, struct err *err);
void vps_resume(struct vps *v);
void vps_pause(struct vps *v); /* returns when none is inside vp_run(); not on a VP's thread */
void vps_revive(struct vps *v); /* paused: after a reset the dead run again */
void vps_done(struct vps *v);  /* ends and joins the threads */
