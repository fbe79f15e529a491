import { createClient } from "@supabase/supabase-js";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { createIdempotentFetch, isReplayed } from "supabase-idempotency/client";

const supabase = createClient(location.origin, "sb_publishable_test", {
  global: {
    fetch: createIdempotentFetch({
      match: ({ url }) => new URL(url).pathname === "/functions/v1/orders",
      retry: { baseMs: 10 },
    }),
  },
});

function Orders() {
  const [said, setSaid] = useState("");
  const order = async () => {
    const { data, error, response } = await supabase.functions.invoke<
      { order: number }
    >("orders", { body: { item: "tea" } });
    const how = response && isReplayed(response) ? "recovered" : "made";
    setSaid(error ? String(error) : `order ${data?.order} ${how}`);
  };
  return (
    <main>
      <button type="button" onClick={order}>Order</button>
      <output>{said}</output>
    </main>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Orders />
  </StrictMode>,
);
