/*
 * diagrams.c NAME: prints a state machine of the library's as a diagram in
 * Mermaid's language; scripts/diagrams.sh puts them into the docs.
 */

#include "libcore/billing/billing.h"

#include <stdio.h>

static const struct {
    const char *name;
    const tn__machine *machine;
} machines[] = {
    { "subscription", &tn__billing_machine },
};


int
main(int argc, char **argv)
{
    size_t i;
    tn_str text;
    tn__buf buf;
    tn__arena *arena;

    arena = tn__arena_new();

    for (i = 0;
         arena && argc == 2 && i < sizeof(machines) / sizeof(machines[0]);
         i++) {
        if (strcmp(machines[i].name, argv[1]) == 0) {
            tn__buf_init(&buf, tn__arena_mem(arena), 1024);
            tn__machine_mermaid(&buf, machines[i].machine);

            if (tn__buf_str(&text, &buf) == TN_OK) {
                fwrite(text.p, 1, text.n, stdout);
                tn__arena_free(arena);
                return 0;
            }
        }
    }

    fprintf(stderr, "usage: diagrams NAME (of a machine: see diagrams.c)\n");

    return 1;
}
