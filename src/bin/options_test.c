/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bin/options.h"

#include "base/test.h"

#define ARGS_MAX 20

/* Words apart by blanks. */
static int parse(const char *line, struct run_options *o, struct err *err)
{
    static char copy[400];
    char *argv[ARGS_MAX + 1] = { (char *)"run" }, *save = NULL;
    int argc = 1;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w && argc < ARGS_MAX; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    *err = (struct err){ 0 };
    return options_parse(argc, argv, o, err);
}

TEST(defaults)
{
    struct run_options o;
    struct err err;

    EXPECT_EQ(parse("--kernel k", &o, &err), 0);
    EXPECT_STR(o.machine.kernel, "k");
    EXPECT_EQ(o.machine.memory, 512 * MIB);
    EXPECT_EQ(o.machine.n_vps, 1);
    EXPECT(o.machine.engine == ENGINE_AUTO && o.console == CONSOLE_STDIO);
    EXPECT(!o.machine.no_reboot && !o.timeout_s && !o.machine.initrd && !o.machine.append);
}

TEST(everything)
{
    struct run_options o;
    struct err err;

    EXPECT_EQ(parse("--kernel k --initrd i --append a=b --memory 4g --cpus 64 --engine soft", &o,
                    &err), 0);
    EXPECT(o.machine.memory == 4 * GIB && o.machine.n_vps == 64);
    EXPECT(o.machine.engine == ENGINE_SOFT);
    EXPECT_EQ(parse("--kernel k --console file=x --no-reboot --timeout 30 --trace a.* --name n", &o,
                    &err), 0);
    EXPECT(o.console == CONSOLE_FILE && o.machine.no_reboot && o.timeout_s == 30);
    EXPECT_STR(o.console_path, "x");
    EXPECT_EQ(parse("--kernel=k --memory=64G --soft-mode=interp", &o, &err), 0);
    EXPECT(o.machine.memory == 64 * GIB && o.machine.soft_mode == SOFT_INTERP);
    EXPECT_EQ(parse("--kernel k --memory 256", &o, &err), 0);
    EXPECT_EQ(o.machine.memory, 256 * MIB);
    EXPECT_EQ(parse("--restore s", &o, &err), 0);
    EXPECT_EQ(parse("--help", &o, &err), 0);
    EXPECT(o.help);
}

TEST(refusals_name_the_option_the_value_and_the_rule)
{
    static const struct { const char *line, *words; } c[] = {
        { "", "--kernel FILE or --disk PATH is needed" },
        { "--kernel k --cpus 0", "--cpus 0: 1 to 64 are possible" },
        { "--kernel k --cpus 1000", "--cpus 1000: 1 to 64 are possible" },
        { "--kernel k --cpus 65", "--cpus 65: 1 to 64 are possible" },
        { "--kernel k --cpus -1", "--cpus '-1': not a number" },
        { "--kernel k --cpus 2x", "--cpus '2x': not a number" },
        { "--kernel k --cpus 99999999999999999999", "1 to 64 are possible" },
        { "--kernel k --memory 1M", "--memory 1M: 8M to 64G are possible" },
        { "--kernel k --memory 0", "--memory 0: 8M to 64G are possible" },
        { "--kernel k --memory 10T", "--memory 10T: 8M to 64G are possible" },
        { "--kernel k --memory 65G", "8M to 64G are possible" },
        { "--kernel k --memory 18446744073709551615T", "8M to 64G are possible" },
        { "--kernel k --memory 10000000000000000000000", "8M to 64G are possible" },
        { "--kernel k --memory 10000K", "whole MiB only" },
        { "--kernel k --memory lots", "--memory 'lots': a size such as 512M or 4G is needed" },
        { "--kernel k --memory 5X", "a size such as" },
        { "--kernel k --memory -5M", "a size such as" },
        { "--kernel k --memory 5MB", "a size such as" },
        { "--kernel k --engine fast", "--engine 'fast': one of auto, kvm, soft is needed" },
        { "--kernel k --soft-mode jit2",
          "--soft-mode 'jit2': one of interp, jit, jit-eager, lockstep is needed" },
        { "--kernel k --soft-mode interp --engine kvm", "it is for the soft engine" },
        { "--kernel k --console x", "one of stdio, file=PATH, pty, screen, none is needed" },
        { "--kernel k --console file=", "is needed" },
        { "--kernel k --console file=PATH extra", "'extra': options only" },
        { "--kernel k --timeout 0", "--timeout 0: 1 to 31536000 are possible" },
        { "--kernel k --timeout soon", "--timeout 'soon': not a number" },
        { "--kernel k --wrong", "--wrong: no such option" },
        { "--kernel k -x", "-x: no such option" },
        { "--kernel", "--kernel needs a value" },
        { "--initrd i", "--kernel FILE or --disk PATH is needed" },
        { "--restore s --initrd i", "--initrd without --kernel" },
    };

    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        struct run_options o = { .timeout_s = 77 };
        struct err err;

        EXPECT(parse(c[i].line, &o, &err) < 0);
        EXPECT_HAS(err.text, c[i].words);
        EXPECT_EQ(o.timeout_s, 77);
    }
}

TEST(help_fits_a_screen_and_names_every_option)
{
    unsigned lines = 0;

    for (const char *p = options_help, *end; *p; p = end + 1, lines++) {
        end = strchr(p, '\n');
        EXPECT(end && end - p < 80);
        if (!end)
            return;
    }
    EXPECT(lines <= 25);
}
