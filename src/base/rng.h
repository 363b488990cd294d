/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rng.h - the one door for chance: seeded and repeatable in tests, the host's otherwise. */
#pragma once

#include "base/util.h"

struct rng {
    uint64_t s[2];
};

void rng_init(struct rng *r, uint64_t seed); /* repeatable */
void rng_init_host(struct rng *r);           /* from getrandom(2) */
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0 .. n-1; n > 0 */
