/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.h - saved state: one table of fields drives reset, dump, save and restore.
 *
 *     static const struct state_field pit_fields[] = {
 *         STATE(struct pit, out),
 *         STATE_ARRAY(struct pit, counter, counter_desc),   // nested structs
 *         STATE_SINCE(struct pit, gate, 2),                 // from version 2 on
 *     };
 *     const struct state_desc pit_state = STATE_DESC("i8254", 2, pit_fields);
 *
 * On the wire a section is: name, version, length, then each field as name, length, bytes
 * (little endian, as on the only host there is).  Restore takes the fields by name: one that is
 * missing and not newer than the section's version is an error, and so is one that nobody knows
 * or whose length differs.  The bytes are hostile: nothing is trusted but what the table allows,
 * and 'check' looks at the result before anybody uses it. */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct state_desc;

struct state_field {
    const char *name;
    size_t off;
    size_t size;                   /* bytes of one element */
    size_t count;                  /* elements */
    const struct state_desc *desc; /* elements are structs with a table of their own */
    unsigned since;                /* first version that has it; 0: always */
};

struct state_desc {
    const char *name;
    unsigned version;
    const struct state_field *fields;
    size_t n_fields;
    /* After a restore: false when the values make no sense together.  May be NULL. */
    bool (*check)(void *obj);
};

#define STATE(type, member) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), 1, NULL, 0 }
#define STATE_SINCE(type, member, version) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), 1, NULL, version }
#define STATE_STRUCT(type, member, table) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), 1, &(table), 0 }
#define STATE_ARRAY(type, member, table)                                   \
    { #member, offsetof(type, member), sizeof(((type *)0)->member[0]),     \
      ARRAY_LEN(((type *)0)->member), &(table), 0 }
#define STATE_DESC(title, ver, table) \
    { .name = title, .version = ver, .fields = table, .n_fields = ARRAY_LEN(table) }

/* A growing byte buffer; 'failed' sticks when memory ran out. */
struct buf {
    uint8_t *p;
    size_t n, size;
    bool failed;
};
void buf_add(struct buf *b, const void *p, size_t n);
void buf_done(struct buf *b);

/* Append one section for 'obj' under its own name 'instance' ("uart0"). */
void state_save(struct buf *b, const char *instance, const struct state_desc *d, const void *obj);

/* Take the next section, which must be 'instance', into 'obj'.  On failure 'obj' is undefined. */
int state_load(struct bytes *from, const char *instance, const struct state_desc *d, void *obj,
               struct err *err);

/* Text, one "instance.field = value" a line. */
void state_dump(FILE *to, const char *instance, const struct state_desc *d, const void *obj);
