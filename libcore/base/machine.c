/*
 * machine.c: state machines as tables. A table has a row for each state and a
 * cell for each event, so that nothing that can happen is left unsaid; the
 * diagram in the docs is drawn from the same table.
 */

#include "libcore/base/base.h"

#define TO_BITS 31


tn__move
tn__machine_move(unsigned *to, const tn__machine *machine, unsigned from,
                 unsigned event)
{
    unsigned char cell;

    cell = machine->cells[from * machine->nevents + event];
    *to = cell & TO_BITS;

    return cell >> 5;
}


static int
is_final(const tn__machine *machine, unsigned state)
{
    unsigned event, to;

    for (event = 0; event < machine->nevents; event++) {
        tn__machine_move(&to, machine, state, event);

        if (to != state) {
            return 0;
        }
    }

    return 1;
}


/* Whether a step leads to it: a state that only ever begins has none. */
static int
is_reached(const tn__machine *machine, unsigned state)
{
    unsigned from, event, to;

    for (from = 0; from < machine->nstates; from++) {
        for (event = 0; event < machine->nevents; event++) {
            if (tn__machine_move(&to, machine, from, event) == TN__MOVE_STEP &&
                to == state) {
                return 1;
            }
        }
    }

    return 0;
}


static void
draw(tn__buf *out, tn_str from, tn_str to)
{
    tn__buf_lit(out, "    ");
    tn__buf_add(out, from);
    tn__buf_lit(out, " --> ");
    tn__buf_add(out, to);
    tn__buf_char(out, '\n');
}


void
tn__machine_mermaid(tn__buf *out, const tn__machine *machine)
{
    unsigned from, event, to;
    const tn_str edge = TN_STR("[*]");

    tn__buf_lit(out, "stateDiagram-v2\n");

    for (from = 0; from < machine->nstates; from++) {
        for (event = 0; event < machine->nevents; event++) {
            if (tn__machine_move(&to, machine, from, event) == TN__MOVE_STEP) {
                draw(out,
                     is_reached(machine, from) ? machine->states[from] : edge,
                     machine->states[to]);
            }
        }
    }

    for (from = 0; from < machine->nstates; from++) {
        if (is_final(machine, from)) {
            draw(out, machine->states[from], edge);
        }
    }
}
