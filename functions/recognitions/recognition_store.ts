import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";

/** What users are recognised for. */
export const CATEGORIES = [
  "teamwork",
  "craft",
  "initiative",
  "service",
  "growth",
] as const;

/** The longest message of a recognition, in characters. */
export const MAX_MESSAGE_CHARACTERS = 1_000;

/** The most points of one recognition. */
export const MAX_POINTS = 100;

/** The most tags of one recognition, and the characters of one of them. */
export const MAX_TAGS = 10;
export const MAX_TAG_CHARACTERS = 40;

/** What one user thanks another for. */
export interface Recognition {
  readonly recognitionId: string;
  readonly senderId: string;
  readonly recipientId: string;
  readonly message: string;
  readonly category: string | null;
  readonly points: number;
  readonly tags: readonly string[];
  /** ISO 8601. */
  readonly createdAt: string;
}

/** A recognition that its recipient showed to somebody else. */
export interface Share {
  readonly recognitionId: string;
  readonly sharedById: string;
  readonly sharedWithId: string;
  /** How much of its points it is to count for: 0 to 1. */
  readonly evidenceWeight: number;
  /** ISO 8601. */
  readonly sharedAt: string;
}

/** A recognition with the share by which one sees it. */
export interface SharedRecognition extends Recognition {
  readonly share: Omit<Share, "recognitionId">;
}

/** Why a recognition cannot be recorded. */
export type RecognitionErrorCode =
  | "RECIPIENT_NOT_FOUND"
  | "RECOGNITION_NOT_FOUND"
  | "RECOGNITION_OF_ONESELF"
  | "RECOGNITION_SHARED_ALREADY";

/** A recognition that the sender has to ask for differently. */
export class RecognitionError extends Error {
  override readonly name = "RecognitionError";

  constructor(readonly code: RecognitionErrorCode, message: string) {
    super(message);
  }
}

/** Whom somebody means, by one of the two. */
export interface Recipient {
  /** What the recipient has handed out to be recognised by. */
  readonly recipientAddress?: string | undefined;
  /** The user id of somebody who has an address. */
  readonly recipientId?: string | undefined;
}

/** A recognition to be recorded. */
export interface NewRecognition extends Recipient {
  /** The same for every attempt at one request. */
  readonly requestId: string;
  readonly message: string;
  readonly category: string | null;
  readonly points: number;
  readonly tags: readonly string[];
}

/** A share to be recorded. */
export interface NewShare extends Recipient {
  /** The same for every attempt at one request. */
  readonly requestId: string;
  readonly recognitionId: string;
  readonly evidenceWeight: number;
}

/** Which recognitions to list. */
export interface Selection {
  /** At most this many, the newest first. */
  readonly limit: number;
  /** Only those made before this moment, ISO 8601. */
  readonly before?: string | undefined;
}

/** Where recognitions are kept. */
export interface RecognitionStore {
  /**
   * Records a recognition, once for each request id.
   *
   * @throws {RecognitionError} When nobody has the address or id, or the sender has it.
   * @throws {StoreError} When the database did not do its part.
   */
  send(recognition: NewRecognition): Promise<Recognition>;
  /**
   * Shows a recognition that the user received to somebody else, once for each
   * request id.
   *
   * @throws {RecognitionError} When it cannot be shared, or not with them.
   * @throws {StoreError} When the database did not do its part.
   */
  share(share: NewShare): Promise<Share>;
  /**
   * Lists what the user has sent or received.
   *
   * @throws {StoreError} When the database did not do its part.
   */
  list(
    userId: string,
    direction: "sent" | "received",
    selection: Selection,
  ): Promise<Recognition[]>;
  /**
   * Lists what others have shared with the user; `before` counts the shares.
   *
   * @throws {StoreError} When the database did not do its part.
   */
  shared(userId: string, selection: Selection): Promise<SharedRecognition[]>;
}

type Tables = Database["public"]["Tables"];

/** The store behind a client that acts as the caller. */
export function recognitionStore(
  supabase: SupabaseClient<Database>,
): RecognitionStore {
  return {
    async send(recognition) {
      const { requestId, message, category, points, tags } = recognition;
      const { data, error } = await supabase.rpc("send_recognition", {
        p_request_id: requestId,
        ...named(recognition),
        p_message: message,
        p_category: category!,
        p_points: points,
        p_tags: [...tags],
      });
      if (error === null) return toRecognition(data);
      throw refusalOf(error, recognition) ??
        new StoreError("Cannot record a recognition", error);
    },
    async share(share) {
      const { requestId, recognitionId, evidenceWeight } = share;
      const { data, error } = await supabase.rpc("share_recognition", {
        p_request_id: requestId,
        p_recognition_id: recognitionId,
        ...named(share),
        p_evidence_weight: evidenceWeight,
      });
      if (error === null) return toShare(data);
      throw refusalOf(error, share) ??
        new StoreError("Cannot share a recognition", error);
    },
    async list(userId, direction, { limit, before }) {
      const mine = direction === "sent" ? "sender_id" : "recipient_id";
      let query = supabase.from("recognitions").select().eq(mine, userId);
      if (before !== undefined) query = query.lt("created_at", before);
      const { data, error } = await query
        .order("created_at", { ascending: false })
        .limit(limit);
      if (error) {
        throw new StoreError(`Cannot list ${direction} recognitions`, error);
      }
      return data.map(toRecognition);
    },
    async shared(userId, { limit, before }) {
      let query = supabase.from("recognition_shares").select()
        .eq("recipient_id", userId);
      if (before !== undefined) query = query.lt("created_at", before);
      const { data: shares, error } = await query
        .order("created_at", { ascending: false })
        .limit(limit);
      if (error) throw new StoreError("Cannot list shares", error);
      const ids = shares.map(({ recognition_id }) => recognition_id);
      const { data, error: second } = await supabase.from("recognitions")
        .select().in("id", ids);
      if (second) throw new StoreError("Cannot list what is shared", second);
      const recognitions = new Map(data.map((row) => [row.id, row]));
      return shares.flatMap((row) => {
        const recognition = recognitions.get(row.recognition_id);
        // Taken back between the two queries.
        if (recognition === undefined) return [];
        const { recognitionId: _, ...share } = toShare(row);
        return { ...toRecognition(recognition), share };
      });
    },
  };
}

// The generated types do not say that a parameter may be null.
function named({ recipientAddress, recipientId }: Recipient) {
  return {
    p_recipient_address: (recipientAddress ?? null)!,
    p_recipient_id: (recipientId ?? null)!,
  };
}

function refusalOf(
  { code, message }: { code: string; message: string },
  { recipientAddress, recipientId, recognitionId }: Recipient & {
    recognitionId?: string;
  },
): RecognitionError | null {
  const recipient = recipientAddress ?? recipientId;
  const breaks = (constraint: string) => message.includes(constraint);
  if (
    code === "PT404" ||
    // Their account ended between the look-up and the row.
    breaks("recognitions_recipient_id_fkey") ||
    breaks("recognition_shares_recipient_id_fkey")
  ) {
    return new RecognitionError(
      "RECIPIENT_NOT_FOUND",
      `Nobody can be recognised under ${recipient}: ask the recipient for ${
        recipientId === undefined ? "a new address" : "their address"
      }`,
    );
  }
  if (breaks("recognition_shares_is_by_the_recipient")) {
    return new RecognitionError(
      "RECOGNITION_NOT_FOUND",
      `You have received no recognition ${recognitionId}: check the id; whoever received it may share it`,
    );
  }
  if (breaks("recognition_shares_pkey")) {
    return new RecognitionError(
      "RECOGNITION_SHARED_ALREADY",
      `Recognition ${recognitionId} was shared with ${recipient} before: take that share back first`,
    );
  }
  if (
    breaks("recognitions_sender_is_not_the_recipient") ||
    breaks("recognition_shares_is_not_with_oneself")
  ) {
    return new RecognitionError(
      "RECOGNITION_OF_ONESELF",
      `${recipient} is you: name somebody else`,
    );
  }
  return null;
}

function toRecognition(row: Tables["recognitions"]["Row"]): Recognition {
  return {
    recognitionId: row.id,
    senderId: row.sender_id,
    recipientId: row.recipient_id,
    message: row.message,
    category: row.category,
    points: row.points,
    tags: row.tags,
    createdAt: row.created_at,
  };
}

function toShare(row: Tables["recognition_shares"]["Row"]): Share {
  return {
    recognitionId: row.recognition_id,
    sharedById: row.shared_by_id,
    sharedWithId: row.recipient_id,
    evidenceWeight: row.evidence_weight,
    sharedAt: row.created_at,
  };
}
