import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from "kysely";
import type { Turnstile } from "./one_at_a_time.ts";

type Query = (
  text: string,
  params: unknown[],
) => Promise<{ rows: unknown[]; affectedRows?: number }>;

/**
 * Kysely on PGlite's one connection. lite's own dialect hands that connection to
 * every request at once: one request's `commit` ends another's transaction, whose
 * remaining statements then run as superuser. Here a request keeps the connection
 * until its transaction is over.
 */
export function pgliteDialect(query: Query, turnstile: Turnstile): Dialect {
  const leave = new WeakMap<DatabaseConnection, () => void>();
  const connect = (): DatabaseConnection => ({
    executeQuery: async ({ sql, parameters }) => {
      const { rows, affectedRows } = await query(sql, [...parameters]);
      return {
        rows: rows as never[],
        ...(typeof affectedRows === "number"
          ? { numAffectedRows: BigInt(affectedRows) }
          : {}),
      };
    },
    streamQuery: () => {
      throw new Error("PGlite cannot stream the rows of a query.");
    },
  });
  const run = async (connection: DatabaseConnection, text: string) =>
    void await connection.executeQuery(CompiledQuery.raw(text));
  const driver: Driver = {
    init: () => Promise.resolve(),
    acquireConnection: async () => {
      const done = await turnstile.enter();
      const connection = connect();
      leave.set(connection, done);
      return connection;
    },
    beginTransaction: (connection) => run(connection, "begin"),
    commitTransaction: (connection) => run(connection, "commit"),
    rollbackTransaction: (connection) => run(connection, "rollback"),
    releaseConnection: (connection) => {
      leave.get(connection)?.();
      return Promise.resolve();
    },
    destroy: () => Promise.resolve(),
  };
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => driver,
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}
