// What a database may answer in its own way: its SQL, its errors, its locks and
// what it lets whom do. Where there is a server, the rest is proven there.
import "./cleanup.test.ts";
import "./compressed_responses.test.ts";
import "./forging.test.ts";
import "./http_contract.test.ts";
import "./isolation.test.ts";
import "./ledger.test.ts";
import "./round_trips.test.ts";
import "./run_many.test.ts";
import "./seed_pattern.test.ts";
import "./single_calls.test.ts";
import "./statistics.test.ts";
