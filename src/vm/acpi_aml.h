/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_aml.h - write ACPI machine language: as much of it as a machine description needs.
 *
 * Things with a length nest: aml_..._begin() ... aml_end().  Names are four characters, padded
 * with '_'.  When the buffer is full 'failed' sticks and nothing more is written.
 * Source: ACPI 6.4, chapter 20 (encoding) and section 6.4 (resource descriptors). */
#pragma once

#include "base/bytes.h"

#define AML_DEPTH_MAX 8

struct aml {
    uint8_t *p;
    size_t n, size;
    bool failed;
    unsigned depth;
    struct {
        size_t at;      /* where the length will be put in */
        bool buffer;    /* a resource template: end tag and size, too */
        uint8_t *count; /* a package: its number of elements */
    } open[AML_DEPTH_MAX];
};

void aml_init(struct aml *a, void *p, size_t size);
void aml_end(struct aml *a);

void aml_scope_begin(struct aml *a, const char *name); /* "\\_SB_" too */
void aml_device_begin(struct aml *a, const char *name);

/* Name (name, value) */
void aml_name_int(struct aml *a, const char *name, uint64_t v);
void aml_name_string(struct aml *a, const char *name, const char *s);
void aml_name_eisa(struct aml *a, const char *name, const char *id); /* "PNP0501" */
void aml_name_package_begin(struct aml *a, const char *name);        /* elements until aml_end() */
void aml_name_template_begin(struct aml *a, const char *name);       /* resources until aml_end() */

/* Elements of a package. */
void aml_int(struct aml *a, uint64_t v);
void aml_package_begin(struct aml *a);

/* Resources of a template. */
void aml_irq(struct aml *a, unsigned irq); /* edge, active high, exclusive */
void aml_io(struct aml *a, uint16_t port, uint8_t n);

/* Address windows, both ends included. */
void aml_window_bus(struct aml *a, uint16_t first, uint16_t last);
void aml_window_io(struct aml *a, uint16_t first, uint16_t last);
void aml_window_memory32(struct aml *a, uint32_t first, uint32_t last);
void aml_window_memory64(struct aml *a, uint64_t first, uint64_t last);
