import { createClient } from "@supabase/supabase-js";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createIdempotentFetch, isReplayed } from "supabase-idempotency/client";
import { useIdempotentMutation } from "supabase-idempotency/react";

const supabase = createClient(location.origin, "sb_publishable_test", {
  global: {
    fetch: createIdempotentFetch({
      match: ({ url }) => new URL(url).pathname === "/functions/v1/orders",
      retry: { baseMs: 10 },
    }),
  },
});

function Orders() {
  const { submit, isSubmitting, data = "" } = useIdempotentMutation(
    async (item: string, { key }) => {
      const { data, error, response } = await supabase.functions.invoke<
        { order: number }
      >("orders", { body: { item }, headers: { "Idempotency-Key": key } });
      if (error) throw error;
      const how = response && isReplayed(response) ? "recovered" : "made";
      return `order ${data?.order} ${how}`;
    },
  );
  return (
    <main>
      <button
        type="button"
        disabled={isSubmitting}
        onClick={() => void submit("tea")}
      >
        Order
      </button>
      <output>{data}</output>
    </main>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Orders />
  </StrictMode>,
);
