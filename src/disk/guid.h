/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guid.h - 16-byte identities, UTF-16 names, CRC-32C: the small change of both formats. */
#pragma once

#include "base/util.h"

#define GUID_TEXT 37 /* with the final NUL, no braces */

/* To and from the order of Microsoft's structures (first three fields swapped). */
void guid_swap(const uint8_t from[16], uint8_t to[16]);
/* Printing order to lower-case text, and back (braces allowed). */
void guid_text(const uint8_t guid[16], char to[GUID_TEXT]);
bool guid_parse(const char *text, uint8_t ret[16]);
bool guid_is_zero(const uint8_t guid[16]);
/* A new random one (RFC 4122 version 4), printing order. */
void guid_random(uint8_t ret[16]);

uint32_t crc32c(uint32_t crc, const void *p, size_t n); /* start with 0 */

/* UTF-16 to UTF-8 and back, lossless for lone surrogates (WTF-8).  The result is malloc'ed, ends
 * in NUL and stops at a NUL in the input.  'units' is a count of 16-bit units. */
char *utf16_decode(const uint8_t *p, size_t units, bool big_endian);
/* Returns units written, or SIZE_MAX when 'max' is too few. */
size_t utf16_encode(const char *utf8, uint8_t *to, size_t max, bool big_endian);

/* All-zero bytes? */
bool is_zero(const void *p, size_t n);
