/**
 * Breaks the core and its SQL, one place at a time, and looks which tests
 * notice: `deno task mutate [--only PART …] [--most N] [--seed S]
 * [--jobs N] [--list]`.
 *
 * PART is a part of a file's name, or of the line that is broken.
 * Nothing is broken in place: each job works on a copy of the tree. A mutant
 * that survives is named; `mutate/accepted.json` says of some why nothing can
 * notice them. The last line is `N killed, N survived, N accepted`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import accepted from "./mutate/accepted.json" with { type: "json" };
import { type Mutant, mutantOf } from "./mutate/mutant.ts";
import { sqlEdits } from "./mutate/sql.ts";
import { type Baseline, copyTree, openBench } from "./mutate/trial.ts";
import { typescriptEdits } from "./mutate/typescript.ts";
import { useScratchMemory } from "./test/scratch.ts";

const USAGE =
  "Usage: deno task mutate [--only PART …] [--most N] [--seed S] [--jobs N] [--list]";
const CORE = "shared/idempotency";
const SQL = "supabase/schemas/idempotency";
// The contract is proven by stores that are wrong on purpose; deps only names.
const LEFT_OUT = ["testing.ts", "deps.ts", "with_idempotency.ts"];

const { only, most, seed, jobs, list } = readArguments();
useScratchMemory();
const tree = await copyTree();
const mutants = shuffled(await allMutants(), seed)
  .filter(({ name }) => only.some((part) => name.includes(part)))
  .slice(0, most);
if (list) {
  for (const { name } of mutants) console.log(name);
  await Deno.remove(tree, { recursive: true });
  Deno.exit(0);
}
const reasons = new Map(
  (accepted as { mutant: string; reason: string }[]).map((
    { mutant, reason },
  ) => [mutant, reason]),
);
const tally = { killed: 0, survived: 0, accepted: 0 };
const startedAt = performance.now();
const queue = [...mutants];
console.log(`${mutants.length} mutants, seed ${seed}`);
const baseline = Promise.withResolvers<Baseline>();
await Promise.all(Array.from({ length: jobs }, (_, n) => lane(n === 0)));
await Deno.remove(tree, { recursive: true });
const minutes = (performance.now() - startedAt) / 60_000;
console.log(
  `${
    minutes.toFixed(1)
  } minutes\n${tally.killed} killed, ${tally.survived} survived, ${tally.accepted} accepted`,
);
if (tally.survived > 0) Deno.exitCode = 1;

async function lane(isFirst: boolean): Promise<void> {
  await using bench = await openBench(
    tree,
    isFirst ? undefined : baseline.promise,
  );
  if (isFirst) {
    baseline.resolve(bench.baseline);
    for (const file of bench.baseline.leftOut) console.log(`left out: ${file}`);
  }
  for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
    const { name } = mutant;
    if (reasons.has(name)) {
      tally.accepted++;
      continue;
    }
    const noticed = await bench.try(mutant);
    tally[noticed === null ? "survived" : "killed"]++;
    const { file, line, change } = mutant;
    console.log(
      noticed === null
        ? `SURVIVED ${file}:${line}: ${change}\n         ${name}`
        : `killed ${file}:${line}: ${change} (${noticed})`,
    );
  }
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

/** The same order for the same seed, whatever stands in other files. */
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
  try {
    const { values } = parseArgs({
      options: {
        only: { type: "string", multiple: true, default: [""] },
        most: { type: "string", default: "150" },
        seed: { type: "string", default: "1" },
        jobs: { type: "string", default: "2" },
        list: { type: "boolean", default: false },
      },
    });
    return {
      only: values.only,
      list: values.list,
      most: wholeNumber("most", values.most),
      seed: wholeNumber("seed", values.seed),
      jobs: wholeNumber("jobs", values.jobs),
    };
  } catch (error) {
    console.error(`mutate: ${(error as Error).message}\n${USAGE}`);
    Deno.exit(2);
  }
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${name} ${text}: expected a whole number from 1`);
}
