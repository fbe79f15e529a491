/**
 * Breaks the core and its SQL, one place at a time, and looks which tests
 * notice: `deno task mutate --help`.
 *
 * The places are taken from each file in turn. Nothing is broken in place: each
 * job works on a copy of the tree. First each test file is run on the tree as it
 * is, to know what it runs, which is kept in `.local/` for as long as that stays
 * true; a mutant then meets only the tests that run what it breaks, up to the
 * first that fails. What the type check or Postgres refuses is no mutant. One
 * that survives is named; `mutate/accepted.json` says of some why nothing can
 * notice them. The last line is `N killed, N survived, N accepted`.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "./check/check.ts";
import accepted from "./mutate/accepted.json" with { type: "json" };
import { wellTyped } from "./mutate/compiler.ts";
import { type Mutant, mutantOf } from "./mutate/mutant.ts";
import { sqlEdits } from "./mutate/sql.ts";
import { recordAll } from "./mutate/tests.ts";
import {
  type Bench,
  copyTree,
  CORE,
  openBench,
  REFUSED,
  testsOf,
} from "./mutate/trial.ts";
import { typescriptEdits } from "./mutate/typescript.ts";
import { readTask, taskOptions, wrongUsage } from "./task.ts";
import { useScratchMemory } from "./test/scratch.ts";

const USAGE =
  `Usage: deno task mutate [--only PART …] [--most N] [--seed S] [--jobs N] [--list]

Breaks the core and its SQL, one place at a time, and looks which tests notice.
Exit code 1 where none does, and mutate/accepted.json does not say why.

  --only PART          a part of a file's name, or of the line that is broken
  --most N             150 by default
  --seed S             which of the places; 1 by default
  --jobs N             at once; 2 by default
  --list               name the places, and break nothing`;
const SQL = "supabase/schemas/idempotency";
// The contract is proven by stores that are wrong on purpose; deps only names.
const LEFT_OUT = ["testing.ts", "deps.ts", "with_idempotency.ts"];

const { only, most, seed, jobs, list } = readTask("mutate", readArguments);
useScratchMemory();
const tree = await copyTree(fileURLToPath(ROOT));
const startedAt = performance.now();
const tally = { killed: 0, survived: 0, accepted: 0 };
try {
  const all = await allMutants();
  for (const { mutant } of accepted) {
    if (all.some(({ name }) => name === mutant)) continue;
    console.log(`accepted, and no longer a place: ${mutant}`);
  }
  const places = all
    .filter(({ name }) => only.some((part) => name.includes(part)));
  const inTurn = eachFileInTurn(places, seed);
  if (list) { for (const { name } of inTurn.slice(0, most)) console.log(name); }
  else await tryAll(inTurn);
} finally {
  await Deno.remove(tree, { recursive: true });
}

async function tryAll(inTurn: Mutant[]): Promise<void> {
  const mutants: Mutant[] = [];
  let looked = 0;
  while (mutants.length < most && looked < inTurn.length) {
    const next = inTurn.slice(looked, looked + most - mutants.length);
    looked += next.length;
    mutants.push(...await wellTyped(tree, next));
  }
  console.log(
    `${mutants.length} mutants of ${inTurn.length} places, seed ${seed}; the type check refused ${
      looked - mutants.length
    }`,
  );
  await using stack = new AsyncDisposableStack();
  const benches = await Promise.all(
    Array.from({ length: jobs }, () => openBench(tree)),
  );
  for (const bench of benches) stack.use(bench);
  const { known, leftOut } = await recordAll(tree, benches);
  for (const file of leftOut) console.log(`left out: ${file}`);
  console.log(`${known.length} test files, ${minutes()} minutes`);

  const reasons = new Set(accepted.map(({ mutant }) => mutant));
  const queue = [...mutants];
  const lane = async (bench: Bench) => {
    for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
      const { file, line, change, name } = mutant;
      if (reasons.has(name)) {
        tally.accepted++;
        continue;
      }
      const tests = testsOf(mutant, known);
      const noticed = await bench.try(mutant, tests);
      if (noticed?.startsWith(REFUSED)) continue;
      tally[noticed === null ? "survived" : "killed"]++;
      console.log(
        noticed === null
          ? `SURVIVED ${file}:${line}: ${change} (${tests.length} test files run it)\n         ${name}`
          : `killed ${file}:${line}: ${change} (${noticed})`,
      );
    }
  };
  await Promise.all(benches.map(lane));
  console.log(
    `${minutes()} minutes\n${tally.killed} killed, ${tally.survived} survived, ${tally.accepted} accepted`,
  );
  if (tally.survived > 0) Deno.exitCode = 1;
}

function minutes(): string {
  return ((performance.now() - startedAt) / 60_000).toFixed(1);
}

async function allMutants(): Promise<Mutant[]> {
  const mutants: Mutant[] = [];
  const seen = new Map<string, number>();
  for (
    const [folder, extension, editsOf] of [
      [CORE, ".ts", typescriptEdits],
      [SQL, ".sql", sqlEdits],
    ] as const
  ) {
    const names = [];
    for await (const { name } of Deno.readDir(join(tree, folder))) {
      if (name.endsWith(extension) && !LEFT_OUT.includes(name)) {
        names.push(name);
      }
    }
    for (const name of names.sort()) {
      const file = `${folder}/${name}`;
      const source = await Deno.readTextFile(join(tree, file));
      for (const edit of editsOf(source)) {
        const mutant = mutantOf(file, source, edit);
        const twins = (seen.get(mutant.name) ?? 0) + 1;
        seen.set(mutant.name, twins);
        mutants.push(
          twins === 1
            ? mutant
            : { ...mutant, name: `${mutant.name} #${twins}` },
        );
      }
    }
  }
  return mutants;
}

/** The first of each file, then the second of each: the same for the same seed. */
function eachFileInTurn(mutants: readonly Mutant[], seed: number): Mutant[] {
  const turns = new Map<string, number>();
  return shuffled(mutants, seed)
    .map((mutant) => {
      const turn = turns.get(mutant.file) ?? 0;
      turns.set(mutant.file, turn + 1);
      return { mutant, turn };
    })
    .sort((a, b) => a.turn - b.turn)
    .map(({ mutant }) => mutant);
}

function shuffled(mutants: readonly Mutant[], seed: number): Mutant[] {
  let state = seed >>> 0;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  next();
  return mutants
    .map((mutant) => ({ mutant, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ mutant }) => mutant);
}

function readArguments() {
  const values = taskOptions(USAGE, {
    only: { type: "string", multiple: true, default: [""] },
    most: { type: "string", default: "150" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    list: { type: "boolean", default: false },
  });
  return {
    only: values.only,
    list: values.list,
    most: wholeNumber("most", values.most),
    seed: wholeNumber("seed", values.seed),
    jobs: wholeNumber("jobs", values.jobs),
  };
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw wrongUsage(`--${name} ${text}: expected a whole number from 1`, USAGE);
}
