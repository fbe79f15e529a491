import { basename } from "node:path";
import { z } from "zod";
import {
  connectIfKnown,
  environmentOf,
  explain,
  type Project,
  PUSH,
} from "../project.ts";
import {
  type Command,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
} from "./command.ts";
import { functionsOf } from "./functions.ts";
import {
  MANIFEST,
  MIGRATIONS,
  openFolder,
  type ProjectFolder,
  stateOf,
} from "./project_folder.ts";
import { isLater, otherRelease, PACKAGE, SHARED, VERSION } from "./release.ts";
import { shown, shownJson } from "../table.ts";

/** One thing that was looked at. */
interface Finding {
  /** What was looked at. */
  readonly what: string;
  /** `skipped`: it could not be looked at. */
  readonly state: "ok" | "wrong" | "skipped";
  /** What there is. */
  readonly found: string;
  /** What to do about it. */
  readonly mend?: string;
}

function ok(what: string, found: string): Finding {
  return { what, state: "ok", found };
}

function wrong(what: string, found: string, mend: string): Finding {
  return { what, state: "wrong", found, mend };
}

async function filesOf(folder: ProjectFolder): Promise<Finding[]> {
  const { manifest } = folder;
  const init = commandLine("init");
  if (manifest === null) {
    return [wrong("module", `there is no ${MANIFEST}`, `run ${init}`)];
  }
  const { version } = manifest;
  const findings = [
    version === VERSION ? ok("module", `version ${version}`) : wrong(
      "module",
      `version ${version}, and this program is ${VERSION}`,
      otherRelease(version),
    ),
  ];
  for (const path of Object.keys(manifest.files)) {
    const state = await stateOf(folder, path);
    if (state === "as written") continue;
    const mend = path.startsWith(SHARED)
      ? `restore it from version control, or run ${init} --force-vendor`
      : "restore it from version control: what is applied does not change with its file";
    findings.push(wrong("file", `${path} is ${state}`, mend));
  }
  if (findings.length === 1) {
    const number = Object.keys(manifest.files).length;
    findings.push(ok("files", `${number} as they were written`));
  }
  return findings;
}

const CORS =
  `import { corsHeaders } from "../_shared/idempotency.ts" and send it: in withSupabase as cors: { headers: corsHeaders }, in a handler on its own as withIdempotency({ …, cors: corsHeaders }, handler)`;

async function functionFindings(folder: ProjectFolder): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const one of await functionsOf(folder)) {
    if (!one.isProtected) continue;
    const what = `function ${one.name}`;
    if (one.missing !== null) {
      findings.push(wrong(
        what,
        `it imports supabase/functions/${one.missing}, which is not there: it fails where it is deployed`,
        `take the module out of it and deploy it, or put the module back with ${
          commandLine("init")
        }`,
      ));
      continue;
    }
    const before = findings.length;
    if (one.hasCors && !one.letsKeyIn) {
      findings.push(wrong(
        what,
        "its CORS headers do not let in Idempotency-Key and OPTIONS, by which the client asks: browsers fail, or call it unprotected",
        CORS,
      ));
    }
    if (one.verifyJwt === false && !one.knowsCallers) {
      findings.push(wrong(
        what,
        "verify_jwt = false in supabase/config.toml, and nothing in it looks at who calls",
        "take that line out, or let the function verify its callers: whoever calls may use anybody's keys",
      ));
    }
    if (one.verifyJwt && one.takesKeys) {
      findings.push(wrong(
        what,
        "it takes publishable or secret keys, which are no tokens, and the gateway asks for one",
        `set verify_jwt = false under [functions.${one.name}] in supabase/config.toml`,
      ));
    }
    if (findings.length === before) {
      findings.push(ok(what, "CORS and verify_jwt fit"));
    }
  }
  if (findings.length === 0) {
    const found = `none imports ${SHARED}/idempotency.ts yet`;
    findings.push({ what: "functions", state: "skipped", found });
  }
  return findings;
}

const Health = z.tuple([
  z.object({
    version: z.string(),
    wrong_grants: z.array(z.string()),
    wrong_objects: z.array(z.string()),
    synchronous_commit: z.string(),
  }),
]);

const JobRun = z.object({
  job: z.string(),
  active: z.boolean(),
  status: z.string().nullable(),
  message: z.string().nullable(),
  schedule: z.string().nullable(),
  started_at: z.coerce.date().nullable(),
});

// One runs every five minutes.
const LATE_MS = 3 * 60 * 60 * 1000;

// Functions, schemas, tables, types.
const MISSING = new Set(["42883", "PGRST202", "3F000", "42P01", "42704"]);

/** How the ledger comes back into a database. */
function pushAnew({ manifest }: ProjectFolder): string {
  const versions = Object.keys(manifest?.files ?? {})
    .filter((path) => path.startsWith(MIGRATIONS) && /idempotency/.test(path))
    .map((path) => basename(path).split("_")[0]);
  return [
    `run ${PUSH}. Where that finds nothing to do, what it made was dropped since: restore a backup,`,
    "or go on without the keys: drop what is left (the schema idempotency, and in public what has the",
    `ledger's names), run supabase migration repair --status reverted ${
      versions.join(" ")
    }, in the linked project with --remote, and push again`,
  ].join(" ");
}

function failure(error: unknown, folder: ProjectFolder): Finding {
  const { code = "" } = error as { code?: string };
  if (MISSING.has(code)) {
    const found = "the ledger is not in the database, or not the whole of it";
    const { message } = error as Error;
    return wrong("schema", `${found}: ${message}`, pushAnew(folder));
  }
  const look =
    "look at SUPABASE_URL and SUPABASE_SECRET_KEY, or --database-url";
  return wrong(
    "access",
    explain(error),
    code === "42501"
      ? `${look}; where they are right, service_role has lost what the ledger's migration grants: put it back in a migration`
      : look,
  );
}

function grantRemedy(grant: string): string {
  const [, role, schema] = /^(\w+) may not use the schema (\w+)$/.exec(grant) ??
    [];
  if (schema !== undefined) {
    return `run this in a migration: grant usage on schema ${schema} to ${role}`;
  }
  return /^(service_role|row)/.test(grant)
    ? "put it back in a migration, as the ledger's has it"
    : "revoke it in a migration: anybody could make the ledger believe that a request was answered";
}

async function databaseFindings(
  database: Project,
  folder: ProjectFolder,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    const [health] = Health.parse(await database.call("idempotency_health"));
    const { version, wrong_grants, wrong_objects, synchronous_commit } = health;
    findings.push(ok("access", "the database answers this key"));
    const wanted = folder.manifest?.version ?? VERSION;
    const push = `run ${PUSH}; ${MIGRATIONS}/ has what leads to ${wanted}`;
    findings.push(
      version === wanted ? ok("schema", `version ${version}`) : wrong(
        "schema",
        `version ${version}, and the module is ${wanted}`,
        isLater(version, wanted)
          ? `bring the module to ${version}: take it from version control, or upgrade with the ${PACKAGE} of that version`
          : push,
      ),
    );
    findings.push(
      ...wrong_grants.length === 0
        ? [ok("grants", "nobody but service_role writes the ledger")]
        : wrong_grants.map((grant) =>
          wrong("grants", grant, grantRemedy(grant))
        ),
      ...wrong_objects.map((object) =>
        wrong(
          "objects",
          object,
          "put it back in a migration, as the ledger's has it",
        )
      ),
      synchronous_commit === "off"
        ? wrong(
          "durability",
          "synchronous_commit is off: a database that crashes forgets what it told last, and a retry runs again",
          "run alter database postgres set synchronous_commit = on, or alter role … for the role that has it off",
        )
        : ok("durability", `synchronous_commit is ${synchronous_commit}`),
    );
    const runs = z.array(JobRun).parse(
      await database.call("idempotency_job_runs", { p_limit: 1 }),
    );
    findings.push(...jobFindings(runs));
  } catch (error) {
    findings.push(failure(error, folder));
  }
  return findings;
}

function jobFindings(runs: readonly z.output<typeof JobRun>[]): Finding[] {
  if (runs.length === 0) {
    const found = `no pg_cron here: let a scheduler run ${
      commandLine("cleanup")
    } hourly`;
    return [{ what: "cron", state: "skipped", found }];
  }
  const began = runs.flatMap(({ started_at }) => started_at?.getTime() ?? []);
  const latest = Math.max(...began);
  const findings = runs.map(({ job, schedule, active, status, message }) => {
    const what = `cron ${job}`;
    if (!active) {
      return wrong(
        what,
        schedule === null ? "it is not scheduled" : "it is not active",
        "run the block of the ledger's migration that begins with do $jobs$ in the SQL editor: it schedules both jobs anew",
      );
    }
    if (status === "failed") {
      return wrong(
        what,
        `its last run failed: ${message}`,
        "mend what it says",
      );
    }
    return ok(what, status === null ? "scheduled" : "its last run was fine");
  });
  // Without any, they may have been scheduled a moment ago.
  if (began.length > 0 && Date.now() - latest > LATE_MS) {
    findings.push(wrong(
      "cron",
      `the last run of a job began ${new Date(latest).toISOString()}`,
      "look why pg_cron runs nothing: its worker starts with the database",
    ));
  }
  return findings;
}

function unknownDatabase(project: string): Finding {
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: key } = environmentOf(
    project,
  );
  const both = "SUPABASE_URL and SUPABASE_SECRET_KEY";
  if (url || key) {
    const found = url
      ? "SUPABASE_URL is set without SUPABASE_SECRET_KEY"
      : "SUPABASE_SECRET_KEY is set without SUPABASE_URL";
    return wrong("access", found, `set ${both}, the key from API Keys`);
  }
  const found = `not looked at: set ${both}, or give --database-url`;
  return { what: "database", state: "skipped", found };
}

async function run(args: readonly string[]): Promise<number> {
  const { values } = parseOptions(args, {
    json: { type: "boolean", default: false },
  }, "none, but a project");
  const folder = await openFolder(values.project);
  const findings = [
    ...await filesOf(folder),
    ...await functionFindings(folder),
  ];
  const connection = connectIfKnown(values["database-url"], values.project);
  if (connection === null) findings.push(unknownDatabase(values.project));
  else {
    await using database = connection;
    findings.push(...await databaseFindings(database, folder));
  }
  const bad = findings.filter(({ state }) => state === "wrong").length;
  if (values.json) console.log(shownJson(findings, 2));
  else {
    for (const { what, state, found, mend } of findings) {
      const mark = { ok: "ok   ", wrong: "WRONG", skipped: "-    " }[state];
      console.log(`${mark} ${shown(what)}: ${shown(found)}`);
      if (mend !== undefined) console.log(`      ${shown(mend)}`);
    }
    console.log(bad === 0 ? "nothing is wrong" : `${bad} to mend`);
  }
  return bad === 0 ? 0 : 1;
}

/** Looks for what is missing or out of date. */
export const doctor: Command = {
  summary: "say what is missing or out of date, and how to mend it",
  usage: () =>
    `Usage: ${commandLine("doctor")} [--json]

Looks at the module's files, the functions that import it (CORS, verify_jwt) and
the database (version of the schema, grants and policies, indexes, durability,
cron jobs); changes nothing. Exit code 1 where something is wrong.
${COMMON_OPTIONS}`,
  run,
};
