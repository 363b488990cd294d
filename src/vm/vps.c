/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vps.c - see vps.h. */
#include "vm/vps.h"

#include <signal.h>

void vps_init(struct vps *v, struct partition *p, unsigned n,
              void (*died)(void *owner, struct vp *vp, enum vp_stop stop), void *owner)
{
    *v = (struct vps){ .n = n, .died = died, .owner = owner };
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->changed, NULL);
    for (unsigned i = 0; i < n; i++)
        v->t[i] = (struct vps_thread){ .vps = v, .vp = partition_vp(p, i) };
}

/* Stand still until the VP may run; false: the thread shall end. */
static bool park_locked(struct vps *v, struct vps_thread *t)
{
    v->n_parked++;
    pthread_cond_broadcast(&v->changed);
    while ((!v->run || t->dead) && !v->quit)
        pthread_cond_wait(&v->changed, &v->lock);
    v->n_parked--;
    return !v->quit;
}

static void *vp_thread(void *arg)
{
    struct vps_thread *t = arg;
    struct vps *v = t->vps;
    char name[16];

    snprintf(name, sizeof name, "vp%u", vp_index(t->vp));
    pthread_setname_np(pthread_self(), name);
    pthread_mutex_lock(&v->lock);
    while ((v->run && !t->dead && !v->quit) || park_locked(v, t)) {
        pthread_mutex_unlock(&v->lock);
        enum vp_stop stop = vp_run(t->vp);
        if (stop != VP_KICKED)
            v->died(v->owner, t->vp, stop);
        pthread_mutex_lock(&v->lock);
        t->dead |= stop != VP_KICKED;
    }
    pthread_mutex_unlock(&v->lock);
    return NULL;
}

int vps_start(struct vps *v, struct err *err)
{
    sigset_t all, old;
    int r = 0;

    /* Signals of the program are for its main thread; engines unblock what they use. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGTRAP);
    for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
        sigdelset(&all, s);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    for (; v->n_started < v->n && r == 0; v->n_started++) {
        struct vps_thread *t = &v->t[v->n_started];
        r = pthread_create(&t->thread, NULL, vp_thread, t);
        if (r)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r ? err_errno(err, r, "thread of VP %u", v->n_started) : 0;
}

void vps_resume(struct vps *v)
{
    pthread_mutex_lock(&v->lock);
    v->run = true;
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->lock);
}

void vps_pause(struct vps *v)
{
    pthread_mutex_lock(&v->lock);
    v->run = false;
    for (unsigned i = 0; i < v->n_started; i++)
        vp_kick(v->t[i].vp);
    while (v->n_parked < v->n_started)
        pthread_cond_wait(&v->changed, &v->lock);
    pthread_mutex_unlock(&v->lock);
}

void vps_revive(struct vps *v)
{
    pthread_mutex_lock(&v->lock);
    for (unsigned i = 0; i < v->n; i++)
        v->t[i].dead = false;
    pthread_mutex_unlock(&v->lock);
}

void vps_done(struct vps *v)
{
    pthread_mutex_lock(&v->lock);
    v->quit = true;
    for (unsigned i = 0; i < v->n_started; i++)
        vp_kick(v->t[i].vp);
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->lock);
    for (unsigned i = 0; i < v->n_started; i++)
        pthread_join(v->t[i].thread, NULL);
    pthread_mutex_destroy(&v->lock);
    pthread_cond_destroy(&v->changed);
}
