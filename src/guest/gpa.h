/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpa.h - guest-physical addresses are a type of their own. */
#pragma once

#include "base/util.h"

typedef struct {
    uint64_t v;
} gpa_t;

#define GPA(x) ((gpa_t){ (x) })

#define PAGE_SHIFT 12
#define PAGE_SIZE  UINT64_C(4096)
