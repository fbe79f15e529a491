import { importTests } from "../../support/import_tests.ts";

await importTests(import.meta.url);
// Asks every route there is: the functions are loaded here already.
await import("../../proof/break_in/break_in.test.ts");
