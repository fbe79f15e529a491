import type { Ledger } from "../../../shared/idempotency/ledger.ts";
import { memoryLedger } from "../../../shared/idempotency/memory_ledger.ts";
import { callLedger } from "./call.ts";
import { REFUSED, type Subject } from "./play.ts";

/**
 * The ledger in memory, under a clock of its own.
 *
 * @param wrap Breaks it on purpose.
 */
export function memorySubject(
  wrap: (ledger: Ledger, now: () => number) => Ledger = (ledger) => ledger,
): Subject {
  let now = 0;
  const clock = () => now;
  const open = () => wrap(memoryLedger({ now: clock }), clock);
  let ledger = open();
  return {
    name: "memory",
    // Leases and halves of TTLs end on multiples: the exact moment is tried too.
    // Nobody but the process reaches its memory, and it has no schema.
    surroundings: {
      grain: 2.5,
      purges: "now and then",
      forges: false,
      upgrades: false,
    },
    overlaps: false,
    clear() {
      now = 0;
      ledger = open();
    },
    call: (call) => callLedger(ledger, call),
    moveClock: (seconds) => void (now += seconds * 1000),
    purge: () => ledger.deleteExpired!(),
    forge: () => REFUSED,
    upgrade() {},
  };
}
