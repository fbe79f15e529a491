import type { LogRecord, Sink } from "@logtape/logtape";
import { redactByField } from "@logtape/redaction";
import { hashUserId } from "./hash_user_id.ts";
import { loggable } from "./loggable.ts";
import { SECRET_NAME, USER_ID_NAME } from "./request_secrets.ts";
import { currentScope } from "./scope.ts";

/**
 * A LogTape sink behind which no line holds a secret: fields that are called
 * like one are masked, user ids hashed, and every text is searched for what the
 * request brought in confidence and for what looks like a secret.
 *
 * It is part of what `withTracing` sets up. A project that configures LogTape by
 * itself wraps its own sinks.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import type { LogRecord } from "@logtape/logtape";
 * import { redacting } from "./redacting.ts";
 *
 * const seen: LogRecord[] = [];
 * redacting((record) => seen.push(record))({
 *   category: ["app"],
 *   level: "info",
 *   timestamp: 0,
 *   message: ["Sent to ada@example.com"],
 *   rawMessage: "Sent to ada@example.com",
 *   properties: { password: "hunter2", attempts: 3 },
 * });
 * assertEquals(seen[0]?.message, ["Sent to REDACTED@EMAIL.ADDRESS"]);
 * assertEquals(seen[0]?.properties, { password: "[redacted]", attempts: 3 });
 * ```
 */
export function redacting(sink: Sink): Sink {
  const byName = redactByField(
    redactByField(sink, {
      fieldPatterns: [SECRET_NAME],
      action: () => "[redacted]",
    }),
    {
      fieldPatterns: [USER_ID_NAME],
      action: (id) => typeof id === "string" ? hashUserId(id) : id,
    },
  );
  return (record) => {
    const hide = currentScope()?.hide ?? ((text) => text);
    let redacted: Pick<LogRecord, "message" | "properties">;
    try {
      redacted = {
        message: record.message.map((part) => loggable(part, hide)),
        properties: loggable(record.properties, hide) as Record<
          string,
          unknown
        >,
      };
    } catch {
      // A getter threw. What is logged must not fail for that.
      redacted = { message: ["UNREADABLE"], properties: {} };
    }
    byName({ ...record, ...redacted });
  };
}
