/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables are found and sum up; Intel's compiler takes the ACPI ones apart and puts them
 * together again (where it is installed). */
#include "vm/firmware.h"

#include <sys/stat.h>

#include "base/test.h"
#include "vm/acpi_aml.h"
#include "vm/layout.h"

static struct firmware_config config(unsigned n_vps)
{
    return (struct firmware_config){
        .n_vps = n_vps,
        .memory = 512 * MIB,
        .uuid = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
        .name = "test-vm",
    };
}

static bool sums_to_zero(const uint8_t *p, size_t n)
{
    return firmware_checksum(p, n) == 0;
}

static uint8_t area[0x20000]; /* what lies at LAYOUT_FIRMWARE */

static const uint8_t *at(uint64_t gpa)
{
    return area + (gpa - LAYOUT_FIRMWARE);
}

static void build(unsigned n_vps)
{
    struct firmware_config cfg = config(n_vps);
    struct gmem *m = NULL;

    EXPECT_EQ(gmem_new(16 * MIB, &m, NULL), 0);
    EXPECT_EQ(firmware_write(m, &cfg, NULL), 0);
    EXPECT_EQ(gmem_read(m, GPA(LAYOUT_FIRMWARE), area, sizeof area), 0);
    gmem_free(m);
}

/* A table with its header; NULL: not sound. */
static const uint8_t *table(uint64_t gpa, const char *signature)
{
    const uint8_t *p = at(gpa);

    return gpa >= LAYOUT_ACPI && gpa < LAYOUT_ACPI + LAYOUT_ACPI_SIZE &&
                   memcmp(p, signature, 4) == 0 && sums_to_zero(p, get_le32(p + 4))
               ? p
               : NULL;
}

TEST(acpi_tables_are_found_from_the_rsdp)
{
    for (unsigned n_vps = 1; n_vps <= 64; n_vps += 21) {
        build(n_vps);
        const uint8_t *rsdp = at(LAYOUT_RSDP);
        EXPECT(memcmp(rsdp, "RSD PTR ", 8) == 0 && sums_to_zero(rsdp, 20) && sums_to_zero(rsdp, 36));
        const uint8_t *rsdt = table(get_le32(rsdp + 16), "RSDT");
        const uint8_t *xsdt = table(get_le64(rsdp + 24), "XSDT");
        if (!rsdt || !xsdt) {
            EXPECT(rsdt && xsdt);
            return;
        }
        EXPECT_EQ(get_le32(rsdt + 36), get_le64(xsdt + 36));
        EXPECT_EQ(get_le32(rsdt + 40), get_le64(xsdt + 44));
        const uint8_t *fadt = table(get_le64(xsdt + 36), "FACP");
        const uint8_t *madt = table(get_le64(xsdt + 44), "APIC");
        EXPECT(fadt && madt && table(get_le64(fadt + 140), "DSDT"));
        EXPECT(memcmp(at(get_le32(fadt + 36)), "FACS", 4) == 0 && get_le32(fadt + 36) % 64 == 0);
        unsigned cpus = 0;
        for (unsigned i = 44; i < get_le32(madt + 4); i += madt[i + 1])
            cpus += madt[i] == 0 && madt[i + 3] == cpus;
        EXPECT_EQ(cpus, n_vps);
    }
}

TEST(acpi_refuses_what_does_not_fit)
{
    struct firmware_config cfg = config(64);
    size_t n = acpi_build(&cfg, area, sizeof area);

    EXPECT(n > 4000 && n < LAYOUT_ACPI_SIZE);
    for (size_t size = 0; size < n; size += 7)
        EXPECT_EQ(acpi_build(&cfg, area, size), 0);
    EXPECT_EQ(acpi_build(&cfg, area, n), n);
}

TEST(aml_lengths_of_each_size)
{
    static uint8_t out[80000];
    struct aml a;

    /* Length bytes 1, 2 and 3: at the borders, the length counts itself. */
    static const struct { unsigned ints, bytes; } c[] = { { 58, 1 }, { 59, 2 }, { 200, 2 } };
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        aml_init(&a, out, sizeof out);
        aml_scope_begin(&a, "X");
        for (unsigned k = 0; k < c[i].ints; k++)
            aml_int(&a, 1);
        aml_end(&a);
        EXPECT(!a.failed);
        EXPECT_EQ(a.n, 1 + c[i].bytes + 4 + c[i].ints);
        unsigned len = c[i].bytes == 1 ? out[1] : (out[1] & 0xfu) | (unsigned)out[2] << 4;
        EXPECT_EQ(out[1] >> 6, c[i].bytes - 1);
        EXPECT_EQ(len, a.n - 1);
        EXPECT(memcmp(out + 1 + c[i].bytes, "X___", 4) == 0);
    }
    aml_init(&a, out, sizeof out);
    aml_scope_begin(&a, "X");
    for (unsigned k = 0; k < 70000; k++)
        aml_int(&a, 0);
    aml_end(&a);
    EXPECT_EQ(out[1] >> 6, 2);
    EXPECT_EQ((out[1] & 0xf) | out[2] << 4 | out[3] << 12, a.n - 1);
    aml_end(&a); /* one too many */
    EXPECT(a.failed);
}

TEST(smbios_structures)
{
    build(4);
    const uint8_t *e2 = at(LAYOUT_SMBIOS), *e3 = e2 + 0x20;
    EXPECT(memcmp(e2, "_SM_", 4) == 0 && sums_to_zero(e2, 31) && sums_to_zero(e2 + 16, 15));
    EXPECT(memcmp(e3, "_SM3_", 5) == 0 && sums_to_zero(e3, 24));
    const uint8_t *p = at(get_le32(e2 + 24)), *end = p + get_le16(e2 + 22);
    unsigned count = 0, system = 0, last = 0;
    while (p < end) {
        const char *s = (const char *)p + p[1];
        if (p[0] == 1) {
            system++;
            EXPECT_STR(s, "Microsoft Corporation");
            EXPECT_STR(s + strlen(s) + 1, "Virtual Machine");
            EXPECT_EQ(get_le32(p + 8), 0x00010203);
            EXPECT_EQ(p[8 + 15], 15);
        }
        EXPECT_EQ(get_le16(p + 2), count);
        count++;
        last = p[0];
        while (*s)
            s += strlen(s) + 1;
        p = (const uint8_t *)s + (p[p[1]] ? 1 : 2);
    }
    EXPECT(p == end);
    EXPECT_EQ(count, get_le16(e2 + 28));
    EXPECT_EQ(system, 1);
    EXPECT_EQ(last, 127);
}

TEST(mp_table)
{
    build(3);
    const uint8_t *f = at(LAYOUT_MPTABLE);
    EXPECT(memcmp(f, "_MP_", 4) == 0 && sums_to_zero(f, 16));
    const uint8_t *t = at(get_le32(f + 4));
    EXPECT(memcmp(t, "PCMP", 4) == 0 && sums_to_zero(t, get_le16(t + 4)));
    unsigned count = 0, cpus = 0;
    const uint8_t *p = t + 44;
    for (; p < t + get_le16(t + 4); p += *p == 0 ? 20 : 8) {
        count++;
        cpus += *p == 0;
    }
    EXPECT_EQ(count, get_le16(t + 34));
    EXPECT_EQ(cpus, 3);
}

/* Take a table apart with iasl and translate the text again: no error, no warning. */
static void check_with_iasl(const char *dir, const char *name, const uint8_t *p)
{
    char path[200], cmd[800], line[256];
    bool clean = false;

    snprintf(path, sizeof path, "%s/%s.aml", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        abort();
    fwrite(p, 1, get_le32(p + 4), f);
    fclose(f);
    snprintf(cmd, sizeof cmd,
             "cd %s && iasl -d %s.aml >%s.log 2>&1 && iasl -vr %s.dsl 2>&1 | tee -a %s.log", dir, name,
             name, name, name);
    f = popen(cmd, "r");
    if (!f)
        abort();
    while (fgets(line, sizeof line, f)) {
        clean |= strstr(line, "0 Errors, 0 Warnings") || strstr(line, "successful. 0 Errors") ||
                 (strstr(line, "Table") && strstr(line, " fields"));
        if (strstr(line, "Error ") || strstr(line, "Warning "))
            test_fail(__FILE__, __LINE__, "%s: %s", name, line);
    }
    EXPECT_EQ(pclose(f), 0);
    if (!clean)
        test_fail(__FILE__, __LINE__, "%s: iasl did not say that all is well", name);
}

TEST(iasl_accepts_the_tables)
{
    char dir[] = "/tmp/verdin-acpi-XXXXXX", cmd[64];

    if (system("iasl -v >/dev/null 2>&1") != 0) {
        test_skip("iasl is not installed (package acpica-tools)");
        return;
    }
    if (!mkdtemp(dir))
        abort();
    build(5);
    const uint8_t *xsdt = at(get_le64(at(LAYOUT_RSDP) + 24));
    const uint8_t *fadt = at(get_le64(xsdt + 36));
    check_with_iasl(dir, "facp", fadt);
    check_with_iasl(dir, "apic", at(get_le64(xsdt + 44)));
    check_with_iasl(dir, "dsdt", at(get_le64(fadt + 140)));
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    EXPECT_EQ(system(cmd), 0);
}
