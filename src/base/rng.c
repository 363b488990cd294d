/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rng.c - see rng.h: xorshift128+, seeded through splitmix64.  Not for secrets. */
#include "base/rng.h"

#include <sys/random.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void rng_init(struct rng *r, uint64_t seed)
{
    r->s[0] = splitmix(&seed);
    r->s[1] = splitmix(&seed);
}

void rng_init_host(struct rng *r)
{
    uint64_t seed = 0;

    while (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        continue;
    rng_init(r, seed);
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t a = r->s[0], b = r->s[1];

    r->s[0] = b;
    a ^= a << 23;
    r->s[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return r->s[1] + b;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    return (uint64_t)(((__uint128_t)rng_u64(r) * n) >> 64);
}
