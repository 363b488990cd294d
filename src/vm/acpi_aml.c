/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_aml.c - see acpi_aml.h. */
#include "vm/acpi_aml.h"

#define OP_NAME    0x08
#define OP_BYTE    0x0a
#define OP_WORD    0x0b
#define OP_DWORD   0x0c
#define OP_STRING  0x0d
#define OP_QWORD   0x0e
#define OP_SCOPE   0x10
#define OP_BUFFER  0x11
#define OP_PACKAGE 0x12
#define OP_EXT     0x5b
#define OP_DEVICE  0x82 /* behind OP_EXT */

#define RES_IRQ_NOFLAGS 0x22
#define RES_IO          0x47
#define RES_END         0x79
#define RES_QWORD       0x8a
#define RES_DWORD       0x87
#define RES_WORD        0x88

enum { WINDOW_MEMORY, WINDOW_IO, WINDOW_BUS };
#define WINDOW_FLAGS    0x0c /* both ends fixed, positive decode, producer */
#define MEMORY_FLAGS    0x01 /* read-write, not cached */
#define IO_FLAGS        0x03 /* entire range */

void aml_init(struct aml *a, void *p, size_t size)
{
    *a = (struct aml){ .p = p, .size = size };
}

static void put(struct aml *a, const void *p, size_t n)
{
    if (a->failed || n > a->size - a->n) {
        a->failed = true;
        return;
    }
    memcpy(a->p + a->n, p, n);
    a->n += n;
}

static void put8(struct aml *a, uint8_t v)
{
    put(a, &v, 1);
}

static void put16(struct aml *a, uint16_t v)
{
    uint8_t b[2];

    put_le16(b, v);
    put(a, b, 2);
}

/* Bytes at 'at', what is behind moves up. */
static void insert(struct aml *a, size_t at, const void *p, size_t n)
{
    size_t tail = a->n - at;

    put(a, p, n); /* makes room, or fails */
    if (a->failed)
        return;
    memmove(a->p + at + n, a->p + at, tail);
    memcpy(a->p + at, p, n);
}

static void put_name(struct aml *a, const char *name)
{
    if (*name == '\\')
        put8(a, (uint8_t)*name++);
    for (unsigned i = 0; i < 4; i++)
        put8(a, *name ? (uint8_t)*name++ : '_');
}

static size_t encode_int(uint64_t v, uint8_t out[9])
{
    unsigned size = v > UINT32_MAX ? 8 : v > UINT16_MAX ? 4 : v > UINT8_MAX ? 2 : 1;

    if (v <= 1) {
        out[0] = (uint8_t)v; /* ZeroOp, OneOp */
        return 1;
    }
    out[0] = size == 8 ? OP_QWORD : size == 4 ? OP_DWORD : size == 2 ? OP_WORD : OP_BYTE;
    v = htole64(v);
    memcpy(out + 1, &v, size);
    return 1 + size;
}

/* ---- lengths --------------------------------------------------------------------------------- */

static void open_length(struct aml *a, bool buffer)
{
    if (a->depth == AML_DEPTH_MAX) {
        a->failed = true;
        return;
    }
    a->open[a->depth].at = a->n;
    a->open[a->depth].buffer = buffer;
    a->open[a->depth].count = NULL;
    a->depth++;
}

/* 20.2.4: the length counts its own bytes. */
static size_t encode_length(size_t n, uint8_t out[4])
{
    if (n + 1 < 0x40) {
        out[0] = (uint8_t)(n + 1);
        return 1;
    }
    unsigned more = n + 2 < 0x1000 ? 1 : n + 3 < 0x100000 ? 2 : 3;
    size_t len = n + 1 + more;
    out[0] = (uint8_t)(more << 6 | (len & 0xf));
    for (unsigned i = 0; i < more; i++)
        out[1 + i] = (uint8_t)(len >> (4 + 8 * i));
    return 1 + more;
}

void aml_end(struct aml *a)
{
    uint8_t b[9];

    if (!a->depth) {
        a->failed = true;
        return;
    }
    size_t at = a->open[--a->depth].at;
    if (a->open[a->depth].buffer) {
        put8(a, RES_END);
        put8(a, 0); /* checksum: none */
        insert(a, at, b, encode_int(a->n - at, b));
    }
    insert(a, at, b, encode_length(a->n - at, b));
}

void aml_scope_begin(struct aml *a, const char *name)
{
    put8(a, OP_SCOPE);
    open_length(a, false);
    put_name(a, name);
}

void aml_device_begin(struct aml *a, const char *name)
{
    put8(a, OP_EXT);
    put8(a, OP_DEVICE);
    open_length(a, false);
    put_name(a, name);
}

/* An element is about to be put into the innermost thing: packages count. */
static void count_element(struct aml *a)
{
    if (a->depth && a->open[a->depth - 1].count)
        ++*a->open[a->depth - 1].count;
}

static void package_begin(struct aml *a)
{
    put8(a, OP_PACKAGE);
    open_length(a, false);
    if (a->failed)
        return;
    a->open[a->depth - 1].count = a->p + a->n; /* stays put until the package's own end */
    put8(a, 0);
}

void aml_package_begin(struct aml *a)
{
    count_element(a);
    package_begin(a);
}

void aml_int(struct aml *a, uint64_t v)
{
    uint8_t b[9];

    count_element(a);
    put(a, b, encode_int(v, b));
}

/* ---- names ----------------------------------------------------------------------------------- */

static void name_begin(struct aml *a, const char *name)
{
    put8(a, OP_NAME);
    put_name(a, name);
}

void aml_name_int(struct aml *a, const char *name, uint64_t v)
{
    uint8_t b[9];

    name_begin(a, name);
    put(a, b, encode_int(v, b));
}

void aml_name_string(struct aml *a, const char *name, const char *s)
{
    name_begin(a, name);
    put8(a, OP_STRING);
    put(a, s, strlen(s) + 1);
}

static unsigned hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* Three letters of five bits, four hex digits; big endian. */
void aml_name_eisa(struct aml *a, const char *name, const char *id)
{
    uint8_t b[5] = { OP_DWORD };
    unsigned letters = (id[0] - 0x40u) << 10 | (id[1] - 0x40u) << 5 | (id[2] - 0x40u);
    unsigned digits = hex(id[3]) << 12 | hex(id[4]) << 8 | hex(id[5]) << 4 | hex(id[6]);

    put_be16(b + 1, (uint16_t)letters);
    put_be16(b + 3, (uint16_t)digits);
    name_begin(a, name);
    put(a, b, sizeof b);
}

void aml_name_package_begin(struct aml *a, const char *name)
{
    name_begin(a, name);
    package_begin(a);
}

void aml_name_template_begin(struct aml *a, const char *name)
{
    name_begin(a, name);
    put8(a, OP_BUFFER);
    open_length(a, true);
}

/* ---- resources ------------------------------------------------------------------------------- */

void aml_irq(struct aml *a, unsigned irq)
{
    put8(a, RES_IRQ_NOFLAGS);
    put16(a, (uint16_t)(1u << irq));
}

void aml_io(struct aml *a, uint16_t port, uint8_t n)
{
    put8(a, RES_IO);
    put8(a, 1); /* decodes 16 bits */
    put16(a, port);
    put16(a, port);
    put8(a, 1);
    put8(a, n);
}

/* Granularity, first, last, offset, length, each of 'size' bytes. */
static void window(struct aml *a, uint8_t tag, uint8_t type, uint8_t type_flags, size_t size,
                   uint64_t first, uint64_t last)
{
    uint64_t v[5] = { 0, first, last, 0, last - first + 1 };

    put8(a, tag);
    put16(a, (uint16_t)(3 + 5 * size));
    put8(a, type);
    put8(a, WINDOW_FLAGS);
    put8(a, type_flags);
    for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
        v[i] = htole64(v[i]);
        put(a, &v[i], size);
    }
}

void aml_window_bus(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, RES_WORD, WINDOW_BUS, 0, 2, first, last);
}

void aml_window_io(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, RES_WORD, WINDOW_IO, IO_FLAGS, 2, first, last);
}

void aml_window_memory32(struct aml *a, uint32_t first, uint32_t last)
{
    window(a, RES_DWORD, WINDOW_MEMORY, MEMORY_FLAGS, 4, first, last);
}

void aml_window_memory64(struct aml *a, uint64_t first, uint64_t last)
{
    window(a, RES_QWORD, WINDOW_MEMORY, MEMORY_FLAGS, 8, first, last);
}
