import type { Edit } from "./mutant.ts";

// What stands in a line of SQL, and what may take its place.
const RULES: readonly (readonly [RegExp, string])[] = [
  [/ <= /g, " < "],
  [/ >= /g, " > "],
  [/ < (?!\/)/g, " <= "],
  [/ > /g, " >= "],
  [/(?<=k\.\w+) = (?=p_|v_|e\.)/g, " <> "],
  [/ <> /g, " = "],
  [/ is not null/g, " is null"],
  [/ is null/g, " is not null"],
  [/\bgreatest\(/g, "least("],
  [/\bleast\(/g, "greatest("],
  [/\bif not found\b/g, "if found"],
  [/\bif found\b/g, "if not found"],
  [/\bis not true\b/g, "is true"],
  [/ \+ (?=make_interval|interval|1\b|v_ttl)/g, " - "],
  [/ \/ 2\b/g, ""],
  [/\bfor (no key )?update( skip locked)?;?$/gm, ""],
  [/\bskip locked\b/g, ""],
  [/^ +and [^\n]*[^\n;(]$/gm, ""],
  [
    /^ +(lease_expires_at|expires_at|completed_at|steps|crashed_attempts|past_owners|metadata|created_at|error_message|status_code|response|response_headers|owner_token|fence|attempt) = [^\n]*,$/gm,
    "",
  ],
  [/\bon conflict do nothing\b/g, ""],
  [/ stable$/gm, " volatile"],
  [/\bsecurity definer\b/g, "security invoker"],
  [/^set search_path = ''$/gm, ""],
  [/^revoke all on [^;]*;/gm, ""],
  [/^grant [^;]*;/gm, ""],
  [/^alter table [^;]* enable row level security;/gm, ""],
  [/'processing'/g, "'failed'"],
  [/'completed'/g, "'failed'"],
  [/'refuse'/g, "'retry'"],
  [/\bclock_timestamp\(\)/g, "now()"],
  [/\b(10000|6291456|1048576|16384|100|2000|256|200|255)\b/g, "7"],
  [/\border by [^\n]*$/gm, ""],
];

/** All the places where the ledger's SQL can be broken, and how. */
export function sqlEdits(source: string): Edit[] {
  const edits = new Map<string, Edit>();
  for (const [pattern, to] of RULES) {
    for (const { 0: from, index } of source.matchAll(pattern)) {
      if (isAside(source, index)) continue;
      const routine = routineAt(source, index);
      const edit = { start: index, end: index + from.length, to, routine };
      edits.set(JSON.stringify(edit), edit);
    }
  }
  return [...edits.values()].sort((a, b) => a.start - b.start);
}

/** Comments, and what is written for people: nothing comes of it. */
function isAside(source: string, index: number): boolean {
  const start = source.lastIndexOf("\n", index) + 1;
  const end = source.indexOf("\n", index);
  const line = source.slice(start, end === -1 ? undefined : end);
  const comment = line.indexOf("--");
  return (comment !== -1 && start + comment < index) ||
    /^\s*(comment on|raise |message =|when .* is not true$|then '|'|using errcode|else ')/
      .test(line);
}

/**
 * The function in whose body a place is: nothing but a call can notice it.
 * Not one in SQL, which may become a part of who calls it.
 */
function routineAt(source: string, index: number): string | null {
  const before = source.slice(0, index);
  if ((before.match(/\$\$/g)?.length ?? 0) % 2 === 0) return null;
  const heads = [...before.matchAll(
    /^create (?:or replace )?(?:function|procedure) (?:\w+\.)?(\w+)\(/gm,
  )];
  const head = heads.at(-1);
  if (head === undefined) return null;
  return /^language plpgsql\b/m.test(before.slice(head.index))
    ? head[1]!
    : null;
}
