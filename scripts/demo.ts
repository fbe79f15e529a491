/**
 * Shows on a stack in memory what a key is good for: `deno task demo`. Ends
 * with exit code 0 only if each request went as promised.
 *
 * @module
 */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../shared/database.types.ts";
import {
  flushReplayCounts,
  generateIdempotencyKey,
} from "../shared/idempotency.ts";
import { alike, type Asked, createAsk } from "./demo/ask.ts";
import { printRows, printTable } from "./table.ts";
import { startStack } from "./stack/stack.ts";
import { readTask, taskOptions } from "./task.ts";

const AT_ONCE = 20;
const USAGE = `Usage: deno task demo

Shows on a stack in memory what a key is good for: a call, its retry, ${AT_ONCE} calls
at once, and what they left in the database. Exit code 1 where a request did not
go as promised.
`;

readTask("demo", () => taskOptions(USAGE, {}));

const broken: string[] = [];

function promise(what: string, kept: boolean): void {
  console.log(`  ${kept ? "kept  " : "BROKEN"}  ${what}`);
  if (!kept) broken.push(what);
}

console.log("Starting a local Supabase in memory …");
const stack = await startStack({ port: 0, memory: true });
try {
  const supabase = createClient<Database>(stack.apiUrl, stack.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const ask = createAsk(stack, await signUp(supabase));
  const documentId = await upload(supabase, "Taking effect once");
  const otherId = await upload(supabase, "Taking effect once, again");
  console.log(
    `Signed up a user and uploaded a document. Calling process-document:\n`,
  );

  const key = generateIdempotencyKey();
  const first = await ask("first call", key, { documentId });
  const retry = await ask("the same again", key, { documentId });
  const racingKey = generateIdempotencyKey();
  const racing = await Promise.all(
    Array.from(
      { length: AT_ONCE },
      () => ask("a new key, at once", racingKey, { documentId }),
    ),
  );
  const later = await ask("that key, a moment later", racingKey, {
    documentId,
  });
  const changed = await ask("first key, other body", key, {
    documentId: otherId,
  });

  const asked = [first, retry, ...racing, later, changed];
  printTable(
    ["request", "status", "replayed?", "job id", "ms"],
    [first, retry, ...alike(racing), later, changed].map((call) => [
      "times" in call ? `${call.request} × ${call.times}` : call.request,
      `${call.status} ${call.code ?? ""}`,
      call.replayed ? "yes" : "no",
      call.jobId?.slice(0, 8),
      Math.round(call.ms),
    ]),
  );

  const jobs = await stack.sql<Record<string, unknown>>(
    `select left(id::text, 8) as job, status, chunk_count as chunks
     from public.processing_jobs order by created_at`,
  );
  printRows("Rows of processing_jobs", jobs);
  printRows(
    "Rows of idempotency_keys",
    await stack.sql(
      `select left(idempotency_key, 13) || '…' as key, scope, status, attempt,
         status_code as answer, octet_length(response) as bytes
       from public.idempotency_keys order by fence`,
    ),
  );
  // Counts of replays are sent together, about a second after the replays.
  await flushReplayCounts();
  const { data: stats } = await supabase.from("v_idempotency_stats").select(
    "scope, completed_count, failed_count, replay_count, replay_rate, duration_p50_ms",
  );
  printRows("v_idempotency_stats", stats ?? []);

  const jobIds = (calls: Asked[]) =>
    new Set(calls.flatMap(({ jobId }) => jobId ?? [])).size;
  const ran = (calls: Asked[]) =>
    calls.filter(({ status, replayed }) => status === 200 && !replayed).length;
  const inProgress = ({ code }: Asked) => code === "REQUEST_IN_PROGRESS";
  console.log("Promises:");
  promise("the first call ran", first.status === 200 && !first.replayed);
  promise(
    "its retry got the same answer, byte for byte, and started nothing",
    retry.replayed && retry.body === first.body && retry.status === 200,
  );
  promise(
    `of ${AT_ONCE} at once one ran, the others got its answer or were told to wait`,
    ran(racing) === 1 && jobIds(racing) === 1 &&
      racing.every((call) => call.status === 200 || inProgress(call)),
  );
  promise("a moment later its answer is there", later.replayed);
  promise(
    "the key with another body was refused",
    changed.status === 422 && changed.code === "IDEMPOTENCY_KEY_REUSED",
  );
  promise(
    "two keys made two jobs, whoever called and however often",
    jobs.length === 2 && jobIds(asked) === 2,
  );
  promise(
    "the statistics count the replays",
    stats?.[0]?.replay_count === asked.filter((call) => call.replayed).length,
  );
} finally {
  await stack.close();
}

console.log(
  broken.length === 0
    ? "\nEach request went as promised."
    : `\n${broken.length} promises were broken.`,
);
Deno.exit(broken.length === 0 ? 0 : 1);

/** Signs up a user and returns their access token. */
async function signUp(supabase: SupabaseClient<Database>): Promise<string> {
  const { data, error } = await supabase.auth.signUp({
    email: "ada@example.com",
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  if (!data.session) throw new Error("Signed up, but not signed in");
  return data.session.access_token;
}

/** Inserts the document that ships with the demo and returns its id. */
async function upload(
  supabase: SupabaseClient<Database>,
  title: string,
): Promise<string> {
  const content = await Deno.readTextFile(
    new URL("demo/taking-effect-once.md", import.meta.url),
  );
  const { data, error } = await supabase.from("documents")
    .insert({ title, mime_type: "text/markdown", content })
    .select("id").single();
  if (error) throw error;
  return data.id;
}
