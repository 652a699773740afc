/*
 * main.c: tenonctl, the operator's command line: finds the command.
 */

#include "tenonctl.h"
#include <tenon/base.h>
#include <stdio.h>
#include <string.h>


static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *purpose;
} commands[] = {
    { "migrate", ctl_migrate, "bring the database schema up to date" },
    { "app", ctl_app, "load, unload and list apps" },
    { "admin", ctl_admin, "make and list the platform's own people" },
    { "purge", ctl_purge, "remove what has run out; once a day" },
    { "domain", ctl_domain, "list, verify and release domains of tenants" },
    { "outbox", ctl_outbox, "print the tokens that would be mailed" },
    { "keys", ctl_keys, "make, list and rotate the keys of access tokens" },
    { "encryption", ctl_encryption, "rotate the keys of what is encrypted" },
    { "user", ctl_user,
      "link users to identity providers, reset second factors" },
    { "doctor", ctl_doctor, "check a live database against this version" },
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))


static void
usage(FILE *out)
{
    size_t i;

    fputs("usage: tenonctl COMMAND [OPTION]...\n\ncommands:\n", out);

    for (i = 0; i < NCOMMANDS; i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].purpose);
    }

    fputs("\n`tenonctl COMMAND --help` tells more. The database is named by\n"
          "--database CONNINFO, else by $TENON_DATABASE, in libpq's form:\n"
          "\"host=/run/postgresql dbname=tenon user=tenon_owner\".\n"
          "\nexit codes: 0 done, 1 failed, 2 called the wrong way\n",
          out);
}


int
main(int argc, char **argv)
{
    size_t i;

    if (argc < 2) {
        usage(stderr);
        return CTL_USAGE;
    }

    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return CTL_OK;
    }

    if (strcmp(argv[1], "--version") == 0) {
        puts("tenonctl " TN_VERSION);
        return CTL_OK;
    }

    for (i = 0; i < NCOMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }

    ctl_error("there is no command \"%s\"", argv[1]);
    usage(stderr);

    return CTL_USAGE;
}
