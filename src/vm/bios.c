/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bios.c - see bios.h.
 *
 * Source: SeaBIOS src/fw/paravirt.c (what it reads), romfile_loader.c (the table loader's commands),
 * sercon.c (its screen on a serial port). */
#include "vm/bios.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "spec/pci.h"
#include "vm/layout.h"

#define IMAGE_MIN  (64 * KIB)
#define IMAGE_MAX  (1 * MIB)
#define SHADOW_MAX (128 * KIB)

/* ---- the image ------------------------------------------------------------------------------- */

static int read_image(const char *path, uint8_t **ret, size_t *ret_n, struct err *err)
{
    AUTO(close_fd_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "BIOS '%s'%s", path,
                         errno == ENOENT ? " (Debian's package seabios has one)" : "");
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)IMAGE_MIN || st.st_size > (off_t)IMAGE_MAX ||
        st.st_size % (off_t)IMAGE_MIN)
        return err_set(err, EINVAL,
                       "BIOS '%s' of %lld bytes: a file of %u to %u KiB, in steps of %u", path,
                       (long long)st.st_size, (unsigned)(IMAGE_MIN / KIB),
                       (unsigned)(IMAGE_MAX / KIB), (unsigned)(IMAGE_MIN / KIB));
    AUTO(free_p) uint8_t *p = malloc((size_t)st.st_size);
    if (!p)
        return err_set(err, ENOMEM, "out of memory");
    if (read(fd, p, (size_t)st.st_size) != st.st_size)
        return err_errno(err, errno ? errno : EIO, "BIOS '%s'", path);
    *ret = TAKE_PTR(p);
    *ret_n = (size_t)st.st_size;
    return 0;
}

int bios_add_rom(struct gmem *m, const char *path, struct err *err)
{
    AUTO(free_p) uint8_t *p = NULL;
    size_t n;
    int r = read_image(path, &p, &n, err);

    return r < 0 ? r : gmem_add_rom(m, GPA(GMEM_HOLE_END - n), p, n, err);
}

int bios_shadow(struct gmem *m, const char *path, struct err *err)
{
    AUTO(free_p) uint8_t *p = NULL;
    size_t n;
    int r = read_image(path, &p, &n, err);

    if (r < 0)
        return r;
    size_t part = MIN(n, SHADOW_MAX);
    if (gmem_write(m, GPA(MIB - part), p + n - part, part) < 0)
        return err_set(err, EFAULT, "BIOS '%s': no memory below 1 MiB", path);
    return 0;
}

#define VGA_ROM_MAX (64 * KIB)

int bios_add_vga_rom(struct fw_cfg *f, const char *path, struct err *err)
{
    AUTO(close_fd_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO(free_p) uint8_t *p = malloc(VGA_ROM_MAX);
    char name[FW_CFG_NAME_MAX + 1];

    if (fd < 0)
        return err_errno(err, errno, "display ROM '%s'", path);
    if (!p)
        return err_set(err, ENOMEM, "out of memory");
    ssize_t n = read(fd, p, VGA_ROM_MAX);
    if (n < 512 || get_le16(p) != 0xaa55)
        return err_set(err, EINVAL, "display ROM '%s': not an option ROM", path);
    snprintf(name, sizeof name, "pci%04x,%04x.rom", PCI_VENDOR_MICROSOFT, PCI_DEVICE_HYPERV_VIDEO);
    int r = fw_cfg_add_file(f, name, p, (uint32_t)n);
    return r < 0 ? err_errno(err, -r, "fw_cfg") : 0;
}

/* ---- ACPI by the table loader: SeaBIOS chooses the addresses --------------------------------- */

#define FILE_TABLES   "etc/acpi/tables"
#define FILE_RSDP     "etc/acpi/rsdp"
#define COMMAND_SIZE  128
#define COMMANDS_MAX  64
#define ACPI_HEADER   36

enum { LOADER_ALLOCATE = 1, LOADER_POINTER = 2, LOADER_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

struct loader {
    uint8_t command[COMMANDS_MAX][COMMAND_SIZE];
    unsigned n;
    bool full;
};

static uint8_t *next_command(struct loader *l, uint32_t what)
{
    static uint8_t waste[COMMAND_SIZE];
    uint8_t *c = l->n < COMMANDS_MAX ? l->command[l->n++] : waste;

    l->full |= c == waste;
    memset(c, 0, COMMAND_SIZE);
    put_le32(c, what);
    return c;
}

static void put_name(uint8_t *to, const char *name)
{
    memcpy(to, name, strlen(name) + 1);
}

static void allocate(struct loader *l, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t *c = next_command(l, LOADER_ALLOCATE);

    put_name(c + 4, file);
    put_le32(c + 60, align);
    c[64] = zone;
}

/* The field of 'size' bytes at 'off' of 'file' holds an offset into the tables: make it an address. */
static void pointer(struct loader *l, const char *file, uint32_t off, uint8_t size)
{
    uint8_t *c = next_command(l, LOADER_POINTER);

    put_name(c + 4, file);
    put_name(c + 60, FILE_TABLES);
    put_le32(c + 116, off);
    c[120] = size;
}

static void checksum(struct loader *l, const char *file, uint32_t at, uint32_t start, uint32_t n)
{
    uint8_t *c = next_command(l, LOADER_CHECKSUM);

    put_name(c + 4, file);
    put_le32(c + 60, at);
    put_le32(c + 64, start);
    put_le32(c + 68, n);
}

/* An address in tables made for LAYOUT_ACPI becomes an offset; 0 (no table) stays. */
static void relocate(struct loader *l, uint8_t *t, uint32_t off, uint8_t size)
{
    uint64_t v = size == 8 ? get_le64(t + off) : get_le32(t + off);

    if (!v)
        return;
    if (size == 8)
        put_le64(t + off, v - LAYOUT_ACPI);
    else
        put_le32(t + off, (uint32_t)(v - LAYOUT_ACPI));
    pointer(l, FILE_TABLES, off, size);
}

/* Our own table at 'off': relocate what points, and have the sum made again. */
static void relocate_table(struct loader *l, uint8_t *t, uint32_t off)
{
    uint32_t n = get_le32(t + off + 4);

    if (memcmp(t + off, "RSDT", 4) == 0)
        for (uint32_t i = ACPI_HEADER; i < n; i += 4)
            relocate(l, t, off + i, 4);
    else if (memcmp(t + off, "XSDT", 4) == 0)
        for (uint32_t i = ACPI_HEADER; i < n; i += 8)
            relocate(l, t, off + i, 8);
    else if (memcmp(t + off, "FACP", 4) == 0) {
        relocate(l, t, off + 36, 4); /* FACS */
        relocate(l, t, off + 40, 4); /* DSDT */
        relocate(l, t, off + 132, 8);
        relocate(l, t, off + 140, 8);
    } else {
        return;
    }
    t[off + 9] = 0;
    checksum(l, FILE_TABLES, off + 9, off, n);
}

static int add_acpi(struct fw_cfg *f, const struct firmware_config *cfg, struct err *err)
{
    AUTO(free_p) uint8_t *t = calloc(1, LAYOUT_ACPI_SIZE);
    AUTO(free_p) struct loader *l = calloc(1, sizeof *l);
    uint8_t rsdp[36];
    size_t n;

    if (!t || !l)
        return err_set(err, ENOMEM, "out of memory");
    n = acpi_build(cfg, t, LAYOUT_ACPI_SIZE);
    if (!n)
        return err_set(err, ENOSPC, "ACPI tables for %u processors do not fit", cfg->n_vps);
    acpi_build_rsdp(rsdp);
    allocate(l, FILE_RSDP, 16, ZONE_FSEG);
    allocate(l, FILE_TABLES, 64, ZONE_HIGH);
    uint32_t rsdt = (uint32_t)(get_le32(rsdp + 16) - LAYOUT_ACPI);
    uint32_t xsdt = (uint32_t)(get_le64(rsdp + 24) - LAYOUT_ACPI);
    /* The FADT is among the tables that the RSDT names: look before its pointers change. */
    for (uint32_t i = ACPI_HEADER; i < get_le32(t + rsdt + 4); i += 4)
        relocate_table(l, t, (uint32_t)(get_le32(t + rsdt + i) - LAYOUT_ACPI));
    relocate_table(l, t, rsdt);
    relocate_table(l, t, xsdt);
    put_le32(rsdp + 16, rsdt);
    put_le64(rsdp + 24, xsdt);
    pointer(l, FILE_RSDP, 16, 4);
    pointer(l, FILE_RSDP, 24, 8);
    rsdp[8] = rsdp[32] = 0;
    checksum(l, FILE_RSDP, 8, 0, 20);
    checksum(l, FILE_RSDP, 32, 0, 36);
    if (l->full)
        return err_set(err, ENOSPC, "ACPI tables: more than %u loader commands", COMMANDS_MAX);
    int r = fw_cfg_add_file(f, FILE_TABLES, t, (uint32_t)n);
    if (r == 0)
        r = fw_cfg_add_file(f, FILE_RSDP, rsdp, sizeof rsdp);
    if (r == 0)
        r = fw_cfg_add_file(f, "etc/table-loader", l->command, l->n * COMMAND_SIZE);
    return r < 0 ? err_errno(err, -r, "fw_cfg") : 0;
}

/* ---- the rest -------------------------------------------------------------------------------- */

#define SMBIOS_ANCHOR 31   /* the 2.x entry point comes first ... */
#define SMBIOS_TABLE  0x40 /* ... then the structures */

static int add_smbios(struct fw_cfg *f, const struct firmware_config *cfg, struct err *err)
{
    AUTO(free_p) uint8_t *t = calloc(1, LAYOUT_SMBIOS_SIZE);
    size_t n = t ? smbios_build(cfg, t, LAYOUT_SMBIOS_SIZE) : 0;

    if (n <= SMBIOS_TABLE)
        return err_set(err, ENOMEM, "SMBIOS tables");
    int r = fw_cfg_add_file(f, "etc/smbios/smbios-anchor", t, SMBIOS_ANCHOR);
    if (r == 0)
        r = fw_cfg_add_file(f, "etc/smbios/smbios-tables", t + SMBIOS_TABLE, get_le16(t + 0x16));
    return r < 0 ? err_errno(err, -r, "fw_cfg") : 0;
}

static void put_e820(uint8_t *e, uint64_t at, uint64_t n, uint32_t type)
{
    put_le64(e, at);
    put_le64(e + 8, n);
    put_le32(e + 16, type);
}

int bios_describe(struct fw_cfg *f, const struct firmware_config *cfg, uint16_t console_port,
                  struct err *err)
{
    uint64_t low = MIN(cfg->memory, GMEM_HOLE_START);
    uint8_t e820[40], port[8];
    unsigned n = 20;
    int r;

    put_e820(e820, 0, low, 1);
    if (cfg->memory > low) {
        put_e820(e820 + 20, GMEM_HOLE_END, cfg->memory - low, 1);
        n = 40;
    }
    put_le64(port, console_port);
    r = fw_cfg_add_file(f, "etc/e820", e820, n);
    if (r == 0)
        r = fw_cfg_set_le(f, FW_CFG_RAM_SIZE, low, 8);
    if (r == 0)
        r = fw_cfg_set_le(f, FW_CFG_N_CPUS, cfg->n_vps, 2);
    if (r == 0)
        r = fw_cfg_set_le(f, FW_CFG_MAX_CPUS, cfg->n_vps, 2);
    if (r == 0 && console_port)
        r = fw_cfg_add_file(f, "etc/sercon-port", port, 2);
    if (r < 0)
        return err_errno(err, -r, "fw_cfg");
    r = add_acpi(f, cfg, err);
    return r < 0 ? r : add_smbios(f, cfg, err);
}
