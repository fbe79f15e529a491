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
