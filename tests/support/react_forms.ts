// Runs in a page: forms of React, each with what it shows and two buttons.
import {
  createElement as h,
  StrictMode,
  useActionState,
  useEffect,
  useState,
} from "react";
// @ts-types="@types/react-dom/client"
import { createRoot } from "react-dom/client";
// @ts-types="@types/react-dom"
import { flushSync } from "react-dom";
import {
  QueryClient,
  QueryClientProvider,
  useMutation,
} from "@tanstack/react-query";
import { createApi, createIdempotentFetch } from "../../shared/client.ts";
import { useIdempotentMutation } from "../../shared/react.ts";
import type { Wanted } from "./two_functions.ts";

/**
 * With `onSubmit`, with `useActionState`, with TanStack Query, or by itself for
 * each name that it is given.
 */
export type FormKind = "plain" | "action" | "queried" | "unasked";

/** What a page says that a form is to do. */
export interface FormSettings {
  readonly url: string;
  /** @default {{ status: 201 }} */
  readonly wanted?: Wanted;
  readonly name?: string;
  /** The key of an attempt to go on with. */
  readonly resumes?: string;
  /** How often the client sends, and TanStack Query asks it to. */
  readonly attempts?: number;
  readonly retry?: number;
  /** Whether a sale is told to another function too, under a key of its own. */
  readonly isTold?: boolean;
}

// Deno's types know no page.
const { document } = globalThis as unknown as {
  document: {
    querySelector(selector: string): { requestSubmit(): void } | null;
    getElementById(id: string): Parameters<typeof createRoot>[0];
  };
};

const keys: string[] = [];

/** Sends through the client, and notes under which key. */
function sender({ url, attempts = 1, isTold }: FormSettings) {
  const { apiPost } = createApi({
    baseUrl: `${url}/`,
    headers: { Authorization: token() },
    fetch: createIdempotentFetch({
      match: () => true,
      retry: { attempts, baseMs: 1 },
    }),
  });
  return async (wanted: Wanted, { key }: { key: string }) => {
    keys.push(key);
    const { data } = await apiPost<{ row: number }>("protected", wanted, {
      key,
    });
    if (isTold) await apiPost("protected/mails", data);
    return data;
  };
}

const token = () => `Bearer ${sessionStorage.getItem("token") ?? "first"}`;

function Sale(settings: FormSettings) {
  const { wanted = {}, name, resumes: key } = settings;
  const sale = useIdempotentMutation(sender(settings), { name, key });
  return h(
    "form",
    {
      onSubmit: (event: { preventDefault(): void }) => {
        event.preventDefault();
        sale.submit(wanted).catch(() => {});
      },
    },
    h("output", null, say(sale.isSubmitting, sale.data, sale.error)),
    h("code", null, sale.key ?? "no attempt"),
    h("button", { disabled: sale.isSubmitting }, "Sell"),
    h("button", { type: "button", onClick: sale.reset }, "Start over"),
  );
}

function QueriedSale(settings: FormSettings) {
  const { submit } = useIdempotentMutation(sender(settings));
  const sale = useMutation({
    mutationFn: submit,
    retry: settings.retry ?? 0,
    retryDelay: 1,
    networkMode: "always",
  });
  return h(
    "form",
    {
      onSubmit: (event: { preventDefault(): void }) => {
        event.preventDefault();
        sale.mutate(settings.wanted ?? {});
      },
    },
    h("output", null, say(sale.isPending, sale.data, sale.error)),
    h("button", null, "Sell"),
  );
}

function ActionSale(settings: FormSettings) {
  const { submit } = useIdempotentMutation(sender(settings));
  const [outcome, sell, isPending] = useActionState(
    async (_: string) => {
      try {
        return say(false, await submit(settings.wanted ?? {}), undefined);
      } catch (error) {
        return say(false, undefined, error);
      }
    },
    "nothing yet",
  );
  return h(
    "form",
    { action: sell },
    h("output", null, outcome),
    h("button", { disabled: isPending }, "Sell"),
  );
}

function UnaskedSale(settings: FormSettings) {
  const { wanted = {}, name } = settings;
  const sale = useIdempotentMutation(sender(settings), { name });
  return h(
    "div",
    null,
    h("output", null, say(sale.isSubmitting, sale.data, sale.error)),
    h(Submits, { name, submit: () => sale.submit(wanted) }),
  );
}

function Submits(
  { name, submit }: { name: string | undefined; submit(): Promise<unknown> },
) {
  useEffect(() => {
    submit().catch(() => {});
  }, [name]);
  return null;
}

function say(
  isSubmitting: boolean,
  data: { row: number } | undefined,
  error: unknown,
): string {
  if (isSubmitting) return "selling";
  if (error) return `failed: ${(error as { code?: string }).code ?? "lost"}`;
  return data ? `row ${data.row}` : "nothing yet";
}

function Closable({ form }: { form: ReturnType<typeof h> }) {
  const [isOpen, setOpen] = useState(true);
  return h(
    "div",
    null,
    isOpen ? form : null,
    h("button", { onClick: () => setOpen(!isOpen) }, "Open or close"),
  );
}

let root: ReturnType<typeof createRoot> | undefined;

/**
 * Shows a form, under StrictMode. Called again, it gives the same form other
 * settings, as a router does.
 */
export function show(kind: FormKind, settings: FormSettings): void {
  const form = kind === "plain"
    ? h(Sale, settings)
    : kind === "action"
    ? h(ActionSale, settings)
    : kind === "unasked"
    ? h(UnaskedSale, settings)
    : h(
      QueryClientProvider,
      { client: new QueryClient() },
      h(QueriedSale, settings),
    );
  const page = root ??= createRoot(document.getElementById("root"));
  flushSync(() => page.render(h(StrictMode, null, h(Closable, { form }))));
}

/** Submits the form, before it can be drawn anew in between. */
export function submitAtOnce(times: number): void {
  for (let n = 0; n < times; n++) {
    document.querySelector("form")!.requestSubmit();
  }
}

/** The keys that were sent, in order. */
export function sentKeys(): string[] {
  return keys;
}
