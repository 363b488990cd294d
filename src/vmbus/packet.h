/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packet.h - a packet copied out of a ring becomes a struct packet (channel.h).  Inside vmbus/. */
#pragma once

#include "vmbus/channel.h"

/* 'raw' is 8-byte aligned and 'n' what ring_next() said.  GPA-direct ranges go to 'range'
 * (PACKET_RANGES_MAX).  Pure.  -EBADMSG: the ranges do not fit their header. */
int packet_decode(const uint8_t *raw, size_t n, struct gpa_range *range, struct packet *ret);
