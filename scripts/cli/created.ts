/** Says, for a person, what a migration creates: read from its SQL. */
export function describeCreation(sql: string): string[] {
  const names = (pattern: RegExp) =>
    [...sql.matchAll(pattern)].map(([, name]) => name!);
  const [publicTables, innerTables] = bySchema(
    names(/^create table ([\w.]+)/gm),
  );
  const [publicFunctions, innerFunctions] = bySchema(
    names(/^create function ([\w.]+)/gm),
  );
  const jobs = [
    ...sql.matchAll(
      /cron\.schedule\(\s*'([\w-]+)',\s*'([\d*/, -]+)'/g,
    ),
  ].map(([, name, schedule]) => `${name} (${schedule})`);
  const forUsers = [
    ...sql.matchAll(
      /^grant execute on function public\.(\w+)[^;]*?\bto ([^;]*);/gm,
    ),
  ].flatMap(([, name, roles]) =>
    /\b(anon|authenticated|public)\b/.test(roles!) ? [name!] : []
  );
  const rows: [string, string[]][] = [
    ["schema", names(/^create schema (\w+)/gm)],
    ["tables", publicTables],
    ["", innerTables],
    ["view", names(/^create view (?:public\.)?(\w+)/gm)],
    ["types", names(/^create type (?:public\.)?(\w+)/gm)],
    ["functions", publicFunctions],
    [
      "",
      innerFunctions.length === 0
        ? []
        : [`and ${innerFunctions.length} in the schema idempotency`],
    ],
    [
      "",
      forUsers.length === 0 ? ["all for the service role alone"] : [
        `for the service role; of these, signed-in users may call ${
          forUsers.join(", ")
        }`,
      ],
    ],
    [
      "extension",
      sql.includes("create extension pg_cron")
        ? ["pg_cron, where the database has it to give"]
        : [],
    ],
    ...jobs.map((job, index): [string, string[]] => [
      index === 0 ? "cron jobs" : "",
      [job],
    ]),
    [
      "policy",
      sql.includes("on realtime.messages")
        ? ["on realtime.messages, where there is Realtime"]
        : [],
    ],
  ];
  return rows.filter(([, list]) => list.length > 0)
    .flatMap(([label, list]) => wrap(label, list.join(", ")));
}

const CHANGE = new RegExp(
  String
    .raw`\b(create|drop|alter)\s+(?:or\s+replace\s+)?(?:unlogged\s+)?(table|view|type|function|schema)` +
    String
      .raw`\s+(?:if\s+(?:not\s+)?exists\s+)?(?:"?public"?\.)?"?(\w+)"?(?![\w".])([^;]*)`,
  "gi",
);

/**
 * What these migrations leave in `public`, and which of them made it: read from
 * their SQL, by kind and name.
 */
export function leftBy(
  migrations: ReadonlyMap<string, string>,
): Map<string, string> {
  const left = new Map<string, string>();
  for (const [migration, sql] of migrations) {
    const statements = sql.replaceAll(/--.*/g, "").matchAll(CHANGE);
    for (const [, verb, kind, name, rest] of statements) {
      const what = `${kind} ${name}`.toLowerCase();
      if (/create/i.test(verb!)) left.set(what, migration);
      else if (
        /drop/i.test(verb!) || /\brename\s+to\b|\bset\s+schema\b/i.test(rest!)
      ) left.delete(what);
    }
  }
  return left;
}

function bySchema(names: readonly string[]): [string[], string[]] {
  const inner = names.filter((name) => name.startsWith("idempotency."));
  return [
    names.filter((name) => !inner.includes(name))
      .map((name) => name.replace(/^public\./, "")),
    inner,
  ];
}

const INDENT = 13;
const WIDTH = 100;

function wrap(label: string, text: string): string[] {
  const lines: string[] = [];
  let line = `  ${label.padEnd(INDENT - 2)}`;
  for (const word of text.split(" ")) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd());
      line = " ".repeat(INDENT);
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
